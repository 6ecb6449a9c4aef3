"""A residual block, and what it passes on when it is dropped.

    block(x)            activation(shortcut(x) + branch(x))
    dropped             shortcut(x)                            no activation: BlockDrop's reference network

What a dropped block passes on is data, not code, so that it survives a copy and a pickle: for each tensor
that the block returns, where among the block's arguments its stand-in is found, and which of the block's own
modules it goes through on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

Address = tuple[str | int, ...]
"""Where a value lies in a call: a position or the name of a keyword, then indices into what lies there."""


@dataclass(frozen=True)
class Argument:
    """The argument of the call that lies at this address."""

    address: Address


@dataclass(frozen=True)
class Passage:
    """What a dropped block returns.

    Attributes:
        result: `Argument`s in the structure (tuple, list, dict) of what the block returns; anything else in
            it is a constant.
        through: Names, within the block, of the modules that the first argument goes through, in their order.
        scale: Factor on what comes out of the first of these modules.
        added: Channels of zeros that follow the argument's own (ReXNet), for images [B, C, H, W].
    """

    result: Any = Argument((0,))
    through: tuple[str, ...] = ()
    scale: float = 1.0
    added: int = 0

    def __call__(self, block: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a dropped `block`, called with these arguments, returns."""
        return self._filled(self.result, block, args, kwargs)

    def _filled(self, node: Any, block: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if isinstance(node, Argument):
            return self._led(block, found_at(node.address, args, kwargs))
        if isinstance(node, (tuple, list)):
            return type(node)(self._filled(part, block, args, kwargs) for part in node)
        if isinstance(node, dict):
            return {key: self._filled(part, block, args, kwargs) for key, part in node.items()}
        return node

    def _led(self, block: nn.Module, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        for step, name in enumerate(self.through):
            value = block.get_submodule(name)(value)
            if step == 0 and self.scale != 1.0:
                value = value * self.scale
        return nn.functional.pad(value, (0, 0, 0, 0, 0, self.added)) if self.added else value


IDENTITY = Passage()
"""The first argument, as it came."""


@dataclass(frozen=True)
class ResidualBlock:
    """A residual block where it stands.

    Attributes:
        name: Its name in ``model.named_modules()``; that of its block and of its branch's module where
            branches are dropped on their own ("blocks.3.attn").
        module: The block; for a branch, the block that holds it.
        shortcut: "identity", "projection" (has parameters), "pooled" (has none) or "none".
        why_not: Why it cannot be dropped, or None if it can.
        passage: What it passes on when it is dropped.
        sliceable: Whether it can be run on some samples of a batch: every argument either has the batch
            first or is the same for all samples, and it returns one tensor.
        branch: Name of the branch's module within the block, or None for the whole block.
        shared: Arguments that are the same for all samples, whatever their first dimension.
    """

    name: str
    module: nn.Module
    shortcut: str
    why_not: str | None = None
    passage: Passage = IDENTITY
    sliceable: bool = True
    branch: str | None = None
    shared: tuple[Address, ...] = ()

    @property
    def droppable(self) -> bool:
        """Whether it can be dropped."""
        return self.why_not is None


_NOTE = "greenadapt_noted"


def note(blocks: Sequence[ResidualBlock]) -> None:
    """Writes on each block's module what was found of it, for `noted` to read."""
    for block in blocks:
        vars(block.module).setdefault(_NOTE, []).append(block)


def forget(model: nn.Module) -> None:
    """Removes what `note` wrote from every module of a model."""
    for module in model.modules():
        vars(module).pop(_NOTE, None)


def noted(model: nn.Module) -> list[ResidualBlock]:
    """The blocks that were noted on a model's modules, in the order in which they stand in it."""
    return [block for module in model.modules() for block in vars(module).get(_NOTE, ())]


class Shortcut(nn.Module):
    """Stands in a dropped block's place: takes the block's arguments, returns what the block passes on.

    It holds the modules of the block that the shortcut needs, by their names there, and so shares their
    parameters; the rest of the block is gone.
    """

    def __init__(self, block: nn.Module, passage: Passage) -> None:
        super().__init__()
        self.passage = passage
        for name in passage.through:
            _put(self, name, block.get_submodule(name))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the dropped block's own."""
        return self.passage(self, args, kwargs)


def shortcut_module(block: ResidualBlock) -> nn.Module:
    """A module that takes a block's arguments and gives what the block passes on when it is dropped."""
    return Shortcut(block.module, block.passage)


def found_at(address: Address, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The value at an address of a call."""
    first, *rest = address
    value = args[first] if isinstance(first, int) else kwargs[first]
    for key in rest:
        value = value[key]
    return value


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    *parents, last = name.split(".")
    for parent in parents:
        if parent not in root._modules:
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(last, module)

"""Tells what a block's shortcut is by silencing its branch: one block, copied, on made-up input.

With every weight and bias at zero a branch of convolutions, linear layers, norms and layer scales gives zero,
so that what is left of the block is its shortcut:

    block(x) == x                      the identity
    block(x) == activation(x)          the identity, and an activation after the sum
    block(x) == s(x)                   where only the weights of the module s were left: a projection
    anything else                      no shortcut that can be told, and the block is not droppable

Silencing the weights rather than the `drop_path` says more: a scale on the shortcut, which a fresh network
has at one, is silenced too, and families that have no `drop_path` are treated alike.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.residual.block import Address, Argument, Passage
from greenadapt.adapters.residual.recording import Call, Seen, call_leaves, changed
from greenadapt.adapters.sharing import without_hooks

_BATCH = 2
_SMALL = 16
_LARGE = 2**17
_FUNCTIONS = (torch.relu, nn.functional.gelu, nn.functional.silu)
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Found:
    """What a probe found.

    Attributes:
        shortcut: As `ResidualBlock.shortcut`.
        passage: What a dropped block passes on, or None if it cannot be dropped.
        why_not: Why not, or None.
    """

    shortcut: str
    passage: Passage | None
    why_not: str | None = None


class Probe:
    """A silenced copy of a block with an input of the shape that was recorded.

    Args:
        block: The block; it is left as it is.
        call: A call of it.
        small: Cut a large image that is its only argument down to a few pixels: what the shortcut is does
            not depend on the size, and the time for a probe does. A block that needs its size raises.
    """

    def __init__(self, block: nn.Module, call: Call, small: bool = False) -> None:
        self.block = _copied(block)
        generator = torch.Generator().manual_seed(0)
        made = lambda leaf: _made(leaf, generator)  # noqa: E731
        given = _cropped(call.args) if small else call.args
        self.args: tuple[Any, ...] = changed(given, made)
        self.kwargs: dict[str, Any] = changed(call.kwargs, made)
        self.generator = generator

    def identity(self) -> Passage | None:
        """The passage, if everything that the block returns is among its arguments or their activation."""
        _silence(self.block)
        result = self.run()
        free = list(call_leaves(self.args, self.kwargs))
        after = [m for m in self.block.modules() if not list(m.children()) and not list(m.parameters())]
        missing = object()

        def source(leaf: Any) -> Any:
            for number, (address, value) in enumerate(free):
                if isinstance(leaf, Tensor) and isinstance(value, Tensor) and _passes(value, leaf, after):
                    return Argument(address)
                if not isinstance(leaf, Tensor) and type(value) is type(leaf) and value == leaf:
                    return Argument(free.pop(number)[0])
            return missing if isinstance(leaf, Tensor) else leaf

        sources = changed(result, source)
        found = [leaf for _, leaf in call_leaves((sources,), {})]
        if missing in found or not any(isinstance(leaf, Argument) for leaf in found):
            return None
        return Passage(sources)

    def widened(self) -> Passage | None:
        """The passage, if the block returns its input followed by channels of zeros (ReXNet)."""
        _silence(self.block)
        result, x = self.run(), self.args[0]
        if not (isinstance(result, Tensor) and isinstance(x, Tensor) and result.ndim == x.ndim == 4):
            return None
        passage = Passage(added=result.shape[1] - x.shape[1])
        if passage.added <= 0 or result.shape[2:] != x.shape[2:]:
            return None
        return passage if _same(passage(self.block, self.args, self.kwargs), result) else None

    def projection(self, ways: Sequence[Passage]) -> Passage | None:
        """The first of these passages that is what is left when all but its modules is silent."""
        after = [m for m in self.block.modules() if not list(m.children()) and not list(m.parameters())]
        for way in ways:
            _silence(self.block)
            for name in way.through:
                _shake(self.block.get_submodule(name), self.generator)
            try:
                with torch.no_grad():
                    # On a copy of the input: a block may compute in place.
                    expected = way(self.block, *self._input())
            except (RuntimeError, TypeError, ValueError, AssertionError):
                # The modules were guessed by their shapes; they may not fit together.
                continue
            result = self.run()
            if not isinstance(result, Tensor) or not isinstance(expected, Tensor):
                continue
            if not _passes(expected, result, after):
                continue
            _shake(self.block, self.generator)
            with torch.no_grad():
                expected = way(self.block, *self._input())
            # A chain of modules with nothing beside it is no shortcut.
            if not _passes(expected, self.run(), after):
                return way
        return None

    def shake(self) -> None:
        """Draws every weight of the copy at random."""
        _shake(self.block, self.generator)

    def run(self, x: Tensor | None = None) -> Any:
        """What the copy returns, on x in the place of its first argument where given."""
        args, kwargs = self._input()
        with torch.no_grad():
            return self.block(*(args if x is None else (x, *args[1:])), **kwargs)

    def _input(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        clone = lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf  # noqa: E731
        return changed(self.args, clone), changed(self.kwargs, clone)


def shrinks(call: Call) -> bool:
    """Whether a probe may cut the input down: a large image is the only tensor of the call."""
    tensors = [leaf for _, leaf in call_leaves(call.args, call.kwargs) if isinstance(leaf, Seen)]
    return len(call.args) == 1 and not call.kwargs and len(tensors) == 1 and _cropped(call.args) != call.args


def _cropped(args: tuple[Any, ...]) -> tuple[Any, ...]:
    seen = args[0]
    if not isinstance(seen, Seen) or len(seen.shape) != 4 or -math.prod(seen.shape) < _LARGE:
        return args
    size = tuple(min(length, _SMALL) for length in seen.shape[2:])
    return (Seen((*seen.shape[:2], *size), seen.dtype), *args[1:])


def _copied(block: nn.Module) -> nn.Module:
    on_meta = any(p.is_meta for p in block.parameters())
    twin = copy.deepcopy(block, without_hooks(block))
    if on_meta:
        twin = twin.to_empty(device="cpu")
        for buffer in twin.buffers():
            buffer.zero_()
        for module in twin.modules():
            held = [key for key, value in vars(module).items() if isinstance(value, Tensor) and value.is_meta]
            for key in held:
                setattr(module, key, torch.zeros_like(getattr(module, key), device="cpu"))
    # Not chained: some of timm's modules override train() and return nothing.
    twin.to("cpu", torch.float32)
    twin.eval()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    return twin


def _silence(block: nn.Module) -> None:
    """Every weight and bias to zero, every norm's statistics to those of a fresh norm."""
    for parameter in block.parameters():
        parameter.zero_()
    for name, buffer in block.named_buffers():
        if name.endswith("running_mean"):
            buffer.zero_()
        elif name.endswith("running_var"):
            buffer.fill_(1.0)


def _shake(module: nn.Module, generator: torch.Generator) -> None:
    """Every weight drawn at random, such that the numbers keep about their size."""
    for parameter in module.parameters():
        inputs = math.prod(parameter.shape[1:]) if parameter.ndim > 1 else 1
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(max(1, inputs)))


def _made(leaf: Any, generator: torch.Generator) -> Any:
    if not isinstance(leaf, Seen):
        return leaf
    shape = [-size * _BATCH if size < 0 else size for size in leaf.shape]
    if leaf.dtype.is_floating_point:
        return torch.randn(shape, generator=generator)
    # A mask of booleans says what takes part; an index of zeros is legal everywhere.
    return (
        torch.ones(shape, dtype=torch.bool)
        if leaf.dtype == torch.bool
        else torch.zeros(shape, dtype=leaf.dtype)
    )


def _passes(value: Tensor, leaf: Tensor, after: Sequence[nn.Module]) -> bool:
    if value.shape != leaf.shape or not leaf.is_floating_point():
        return False
    if _same(value, leaf):
        return True
    return any(_same(candidate, leaf) for candidate in _activated(value, after))


def _activated(value: Tensor, after: Sequence[nn.Module]) -> Iterator[Tensor]:
    seen: set[type] = set()
    for module in after:
        if type(module) in seen or "drop" in type(module).__name__.lower():
            continue
        seen.add(type(module))
        try:
            result = module(value.clone())
        except (RuntimeError, TypeError, ValueError, AssertionError):
            continue
        if isinstance(result, Tensor) and result.shape == value.shape:
            yield result
    for function in _FUNCTIONS:
        yield function(value)


def _same(one: Tensor, other: Tensor) -> bool:
    scale = float(one.abs().max()) if one.numel() else 0.0
    return bool(((one - other).abs().max() <= _TOLERANCE * max(scale, 1e-6)).item()) if one.numel() else False


def batched(call: Call) -> tuple[bool, tuple[Address, ...]]:
    """Whether a block can run on some samples of a batch, and which arguments are the same for all samples.

    It can if its first argument and all that it returns have the batch first, and no other argument has the
    batch folded into something else.
    """
    inputs = [(a, leaf) for a, leaf in call_leaves(call.args, call.kwargs) if isinstance(leaf, Seen)]
    first = call.args[0] if call.args else None
    single = (
        isinstance(first, Seen)
        and first.by_sample
        and isinstance(call.result, Seen)
        and call.result.by_sample
    )
    shared = tuple(address for address, leaf in inputs if not leaf.by_sample)
    return bool(single) and not any(leaf.folded for _, leaf in inputs), shared

"""What the modules of a network are called with: one forward of its shape, no numbers computed.

The network is copied without its weights onto torch's meta device, where a forward costs microseconds an
operation whatever the network's size, and runs there on a batch of an odd number of images; each tensor that
comes with that number of rows has the batch first. Where a network does not run there, a copy of it runs for
real on two images.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from greenadapt.adapters.residual.block import Address
from greenadapt.adapters.sharing import without_hooks
from greenadapt.counting import counting
from greenadapt.errors import ModelError
from greenadapt.inspection import input_shape

BATCH = 71
"""A prime that no network has for its first dimension: neither a square and a few more nor twice a window."""
_REAL_BATCH = 2
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Seen:
    """A tensor of a call, without its numbers.

    Attributes:
        shape: Its dimensions; -1 for the batch and negative multiples of it for what it is folded into.
        dtype: Its type.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def by_sample(self) -> bool:
        """Whether its first dimension is the batch."""
        return bool(self.shape) and self.shape[0] == -1

    @property
    def folded(self) -> bool:
        """Whether its first dimension is the batch times something else."""
        return bool(self.shape) and self.shape[0] < -1


@dataclass(frozen=True)
class Call:
    """One call of a module: arguments and result, each tensor as `Seen`.

    Attributes:
        args: Positional arguments.
        kwargs: Named arguments.
        result: What it returned.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any


def record(model: nn.Module) -> dict[str, list[Call]]:
    """The calls of every module in one forward, by the module's name; modules never called are left out.

    Raises:
        ModelError: The network does not run on images of its own size.
    """
    return _in_one_forward(model, _record)


def image_macs(model: nn.Module) -> int:
    """Multiply-accumulates of one image of the network's own size.

    Raises:
        ModelError: The network does not run on images of its own size.
    """
    return _in_one_forward(model, _count)


def _in_one_forward(model: nn.Module, seen: Callable[[nn.Module, Tensor], _Found]) -> _Found:
    """What `seen` makes of a copy of the network and a batch of images that it runs on."""
    bare = bodiless(model)
    error: Exception | None = None
    for shape in _shapes(model):
        try:
            return seen(bare, torch.empty(BATCH, *shape, device="meta"))
        except Exception as raised:
            # Whatever an operation without a meta kernel raises: the same forward with numbers tells.
            error, bare = raised, bodiless(model)
    if not any(parameter.is_meta for parameter in model.parameters()):
        for shape in _shapes(model):
            try:
                real = copy.deepcopy(model, without_hooks(model)).to("cpu", torch.float32)
                return seen(real, torch.zeros(_REAL_BATCH, *shape))
            except Exception as raised:
                error = raised
    raise ModelError(
        f"{type(model).__name__} does not run on {shape[1]} x {shape[2]} pixels.",
        f"{type(error).__name__}: {next(iter(str(error).splitlines()), 'no message')}",
        "Open it with the image size it is meant for.",
    ) from error


def bodiless(model: nn.Module) -> nn.Module:
    """A copy of a network with every tensor on the meta device: its structure, none of its weights."""
    memo = without_hooks(model)
    for module in model.modules():
        for value in _tensors(vars(module)):
            if id(value) in memo:
                continue
            empty: Tensor = torch.empty_like(value, device="meta", requires_grad=False)
            if isinstance(value, nn.Parameter):
                empty = nn.Parameter(empty, requires_grad=False)
            memo[id(value)] = empty
    bare = copy.deepcopy(model, memo)
    bare.eval()
    return bare


def leaves(value: Any, at: Address = ()) -> Iterator[tuple[Address, Any]]:
    """Everything in nested tuples, lists and dicts that is none itself, with its address."""
    if isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            yield from leaves(part, (*at, index))
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, (*at, key))
    else:
        yield at, value


def call_leaves(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[Address, Any]]:
    """The leaves of a call's arguments, each with its address in the call."""
    yield from leaves(args)
    yield from leaves(kwargs)


def changed(value: Any, change: Any) -> Any:
    """The same structure with every leaf changed."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(changed(part, change) for part in value))
    if isinstance(value, (tuple, list)):
        return type(value)(changed(part, change) for part in value)
    if isinstance(value, dict):
        return {key: changed(part, change) for key, part in value.items()}
    return change(value)


def _shapes(model: nn.Module) -> list[tuple[int, int, int]]:
    """Channels, height and width: those of the network's input, and those its patches were made for."""
    channels, height, width = input_shape(model)
    shapes = [(channels, height, width)]
    # A network of patches that was made for another size than timm publishes says so where it cuts them.
    for module in [model, *model.children()]:
        made = getattr(module, "img_size", None)
        if isinstance(made, (tuple, list)) and (channels, *made) not in shapes:
            shapes.insert(0, (channels, int(made[0]), int(made[1])))
    # A network that transforms its images first has more channels at its first convolution than they have.
    return [*shapes, *((3, *shape[1:]) for shape in shapes if channels != 3)]


def _record(model: nn.Module, images: Tensor) -> dict[str, list[Call]]:
    calls: dict[str, list[Call]] = {}
    batch = len(images)

    def bare(value: Any) -> Any:
        return _seen(value, batch) if isinstance(value, Tensor) else value

    def watch(name: str, module: nn.Module) -> Any:
        pending: list[tuple[Any, Any]] = []

        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            # Taken before the call: a module may put what it computes into its argument's place.
            pending.append((changed(args, bare), changed(kwargs, bare)))

        def after(_: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
            given = pending.pop()
            calls.setdefault(name, []).append(Call(*given, changed(result, bare)))

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.register_forward_hook(after, with_kwargs=True)

    model.eval()
    for name, module in model.named_modules():
        watch(name, module)
    with torch.no_grad():
        model(images)
    return calls


def _count(model: nn.Module, images: Tensor) -> int:
    with counting(model.eval()) as counter:
        model(images)
    return counter.macs // len(images)


def _seen(value: Tensor, batch: int) -> Seen:
    first = value.shape[:1]
    folded = [-(size // batch) if size and size % batch == 0 else size for size in first]
    if batch != BATCH:
        # Two rows may be anything; only the batch itself is taken for it.
        folded = [-1 if size == batch else size for size in first]
    return Seen((*folded, *value.shape[1:]), value.dtype)


def _tensors(attributes: dict[str, Any]) -> Iterator[Tensor]:
    for key, value in attributes.items():
        if key == "_modules":
            continue
        for _, leaf in leaves(value):
            if isinstance(leaf, Tensor):
                yield leaf

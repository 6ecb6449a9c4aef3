"""Run a chain of residual blocks on the samples that need them.

The whole policy is known before the first block: a table of booleans, one row a sample, one column a block.
Four ways to run it give the same logits:

    one path   every sample keeps the same blocks: dropped ones are not called
    grouped    samples of one path run together, as a static network each, and are put back in order
    gathered   each block runs on the samples that keep it, the others pass by its shortcut
    masked     each block runs on all samples and its output is masked: saves nothing, for checks

A gated block asks the run that is under way in its own thread what to do; outside a run it is an ordinary
block. The table is an explicit tensor of the run, and gates checkpoint themselves, so that a recomputed
forward sees the table of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten
from torch.utils.checkpoint import checkpoint

from greenadapt.adapters.residual import run_shortcut
from greenadapt.adapters.retrofit import Retrofit

Mode = Literal["auto", "grouped", "gathered", "masked"]
MODES: tuple[Mode, ...] = ("auto", "grouped", "gathered", "masked")
_SMALLEST_GROUP_WORTHWHILE = 4.0
"""Below this mean size of a group, per-block gathering beats grouping (`benchmarks/execution.py`)."""

Call = Callable[[Tensor], Tensor]


class Run(Protocol):
    """Decides, for one forward pass, how each gated block runs."""

    def block(self, gate: nn.Module, index: int, call: Call, x: Tensor) -> Tensor:
        """The output of block `index` on x [B, C, H, W]; `call` is the block's own forward."""


_RUN: ContextVar[Run | None] = ContextVar("greenadapt_run", default=None)


class Gated(Retrofit):
    """A residual block that runs, or passes on its shortcut, as the run under way says."""

    gate_index: int
    gate_checkpointing: bool

    def forward(self, x: Tensor) -> Tensor:
        """As the block's own forward, [B, C, H, W]."""
        run = _RUN.get()
        call: Call = super().forward  # type: ignore[misc]
        if run is None:
            return call(x)
        if self.gate_checkpointing and torch.is_grad_enabled():
            plain = call
            call = lambda value: checkpoint(plain, value, use_reentrant=False)  # noqa: E731
        return run.block(self, self.gate_index, call, x)  # type: ignore[arg-type]


class OnePath:
    """Every sample keeps the same blocks."""

    def __init__(self, path: tuple[bool, ...]) -> None:
        self.path = path

    def block(self, gate: nn.Module, index: int, call: Call, x: Tensor) -> Tensor:
        """Calls the block or its shortcut."""
        return call(x) if self.path[index] else run_shortcut(gate, x)


class Masked:
    """Each block runs on all samples; those that drop it get the shortcut instead."""

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def block(self, gate: nn.Module, index: int, call: Call, x: Tensor) -> Tensor:
        """Computes both and selects."""
        keep = self.table[:, index].to(x.device).view(-1, *[1] * (x.ndim - 1))
        return torch.where(keep, call(x), run_shortcut(gate, x))


class Gathered:
    """Each block runs on the samples that keep it; the table is on the CPU, so that nothing waits."""

    def __init__(self, table: Tensor, device: torch.device) -> None:
        columns = table.cpu().t()
        self.kept = [column.nonzero()[:, 0].to(device) for column in columns]
        self.dropped = [(~column).nonzero()[:, 0].to(device) for column in columns]

    def block(self, gate: nn.Module, index: int, call: Call, x: Tensor) -> Tensor:
        """Runs the block on its samples and puts them back in their places."""
        kept, dropped = self.kept[index], self.dropped[index]
        if len(dropped) == 0:
            return call(x)
        if len(kept) == 0:
            return run_shortcut(gate, x)
        computed = call(_rows(x, kept))
        passed = run_shortcut(gate, _rows(x, dropped))
        order = torch.empty(len(x), dtype=torch.long, device=x.device)
        order[torch.cat([kept, dropped])] = torch.arange(len(x), device=x.device)
        return _rows(torch.cat([computed, passed.to(computed.dtype)]), order)


@contextmanager
def under(run: Run) -> Iterator[None]:
    """Gated blocks called in this thread within the context follow this run."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


def running() -> bool:
    """Whether a run is under way in this thread."""
    return _RUN.get() is not None


def execute(call: Callable[[Tensor], Any], images: Tensor, table: Tensor, mode: Mode = "auto") -> Any:
    """Runs a network of gated blocks under a policy.

    Args:
        call: A forward of the network: images [B, C, H, W] to a tensor, list or tuple of tensors [B, ...].
        images: [B, C, H, W].
        table: bool, [B, K]: which of the K blocks each sample keeps. On a GPU it is copied to the host once.
        mode: How to run it; "auto" takes the way that is likely cheapest.

    Returns:
        What `call` returns for the whole batch, in the order of the images.
    """
    if len(images) == 0:
        # No sample, no path: whichever is taken, the shapes come out right.
        with under(OnePath((True,) * table.shape[1])):
            return call(images)
    if mode == "masked":
        with under(Masked(table)):
            return call(images)
    paths, group_of = torch.unique(table.cpu(), dim=0, return_inverse=True)
    if len(paths) == 1:
        with under(OnePath(tuple(paths[0].tolist()))):
            return call(images)
    if mode == "gathered" or (mode == "auto" and len(images) / len(paths) < _SMALLEST_GROUP_WORTHWHILE):
        with under(Gathered(table, images.device)):
            return call(images)
    return _grouped(call, images, paths, group_of)


def _grouped(call: Callable[[Tensor], Any], images: Tensor, paths: Tensor, group_of: Tensor) -> Any:
    outputs = []
    for number, path in enumerate(paths):
        rows = (group_of == number).nonzero()[:, 0].to(images.device)
        with under(OnePath(tuple(path.tolist()))):
            outputs.append(call(_rows(images, rows)))
    # argsort of the concatenation's order puts every row back where it came from.
    back = torch.argsort(torch.argsort(group_of, stable=True)).to(images.device)
    leaves, structure = zip(*(tree_flatten(output) for output in outputs), strict=True)
    joined = [_rows(torch.cat(parts), back) for parts in zip(*leaves, strict=True)]
    return tree_unflatten(joined, structure[0])


def _rows(x: Tensor, rows: Tensor) -> Tensor:
    """Rows of x in the memory format of x."""
    if x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last):
        # index_select alone would hand back the contiguous format, and x[rows] is ten times as slow.
        return x.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return x.index_select(0, rows)

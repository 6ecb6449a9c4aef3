"""Rows of a batch: where they stand, how to take them out and put them back, in the memory format they have.

channels_last tensors are moved as [B, H, W, C], where a sample is one stretch of memory: ``x[rows]`` and
``index_select`` on the tensor itself are several times as slow, or hand back the other format.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Stretch = tuple[bool, int, int]


@dataclass(frozen=True)
class Column:
    """Which samples of a batch keep one block.

    Attributes:
        kept: int64, [n], on the device, ascending.
        dropped: int64, [B - n], on the device, ascending.
        stretches: All rows as (kept?, first, past the last) of each unbroken stretch, on the host; empty
            where they are not wanted.
    """

    kept: Tensor
    dropped: Tensor
    stretches: tuple[Stretch, ...]


def columns(table: Tensor, host: Tensor, in_stretches: Sequence[bool]) -> list[Column]:
    """One entry for each block; nothing waits for the device.

    Args:
        table: bool, [B, K], on the device.
        host: The same on the CPU.
        in_stretches: For which of the blocks stretches are wanted.
    """
    # A stable sort puts a block's kept rows first and leaves both parts ascending.
    order = (~table).t().sort(dim=1, stable=True).indices
    counts = host.sum(0).tolist()
    return [
        Column(
            order[block, :count], order[block, count:], stretches(host[:, block].tolist()) if wanted else ()
        )
        for block, (count, wanted) in enumerate(zip(counts, in_stretches, strict=True))
    ]


def stretches(kept: Sequence[bool]) -> tuple[Stretch, ...]:
    """Unbroken stretches of rows that are alike, each as (kept?, first, past the last)."""
    edges = [row for row in range(1, len(kept)) if kept[row] != kept[row - 1]]
    return tuple(
        (kept[first], first, past) for first, past in zip([0, *edges], [*edges, len(kept)], strict=True)
    )


def by_likeness(table: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct paths so ordered that neighbours differ little, and the path of each sample.

    The order is that of a Gray code: however many samples there are, those that keep the first or second
    block stand in one stretch, those that keep the third in two, and so on.

    Args:
        table: bool, [B, K], on the CPU.

    Returns:
        bool, [G, K], and int64, [B].
    """
    ranks, group_of = torch.unique(table.long().cumsum(1) % 2, dim=0, return_inverse=True)
    before = torch.cat([torch.zeros(len(ranks), 1, dtype=ranks.dtype), ranks[:, :-1]], dim=1)
    return (ranks != before), group_of


def take(x: Tensor, rows: Tensor) -> Tensor:
    """Rows of x, [n, ...], in the memory format of x."""
    if _is_channels_last(x):
        return x.permute(0, 2, 3, 1).index_select(0, rows).permute(0, 3, 1, 2)
    return x.index_select(0, rows)


def put(into: Tensor, rows: Tensor, values: Tensor) -> None:
    """Writes values [n, ...] into the rows of a tensor, in place."""
    if _is_channels_last(into) and _is_channels_last(values):
        into, values = into.permute(0, 2, 3, 1), values.permute(0, 2, 3, 1)
    into.index_copy_(0, rows, values.to(into.dtype))


def sent(values: Tensor, device: torch.device) -> Tensor:
    """A tensor of the CPU on a device, for which the host does not wait."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)


def empty(like: Tensor, batch: int) -> Tensor:
    """An uninitialised tensor as `like`, but for a whole batch, in its memory format."""
    shape = (batch, *like.shape[1:])
    if _is_channels_last(like):
        return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    return torch.empty(shape, dtype=like.dtype, device=like.device)


def merged(column: Column, computed: Tensor, passed: Tensor) -> Tensor:
    """The batch from what the kept rows computed and what the dropped ones passed on, [B, ...].

    Where gradients are recorded the rows are joined and reordered; else they are written into a new tensor.
    The output is never one that anybody was given before, so hooks and skip connections may keep theirs.
    """
    if torch.is_grad_enabled():
        order = torch.empty(len(computed) + len(passed), dtype=torch.long, device=computed.device)
        order[torch.cat([column.kept, column.dropped])] = torch.arange(len(order), device=computed.device)
        return take(torch.cat([computed, passed.to(computed.dtype)]), order)
    whole = empty(computed, len(computed) + len(passed))
    put(whole, column.kept, computed)
    put(whole, column.dropped, passed)
    return whole


def _is_channels_last(x: Tensor) -> bool:
    return x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()

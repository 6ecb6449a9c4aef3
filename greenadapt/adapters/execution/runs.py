"""What a gated block is told to do in one forward pass: run, be skipped, or both on parts of the batch.

    OnePath    run or skip, the whole batch alike
    Masked     both on the whole batch, then select
    Gathered   run on the rows that keep the block, skip on the others

A run is made for one forward pass and never changed by it, so it can be asked again by a recomputation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from greenadapt.adapters.execution.placing import Column, columns, empty, merged, take
from greenadapt.adapters.gates import Rowwise


class OnePath:
    """Every sample keeps the same blocks.

    Args:
        path: Whether each of the K blocks is kept.
    """

    def __init__(self, path: Sequence[bool]) -> None:
        self.path = self.kept_by_all = tuple(path)

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """Calls the block or its shortcut."""
        return block(x, None) if self.path[index] else shortcut(x, None)


class Masked:
    """Each block runs on all samples; those that drop it get the shortcut instead.

    Args:
        table: bool, [B, K], on the device of the images.
    """

    kept_by_all = None

    def __init__(self, table: Tensor) -> None:
        self.table = table

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """Computes both and selects."""
        computed = block(x, None)
        keep = self.table[:, index].to(x.device).view(-1, *[1] * (computed.ndim - 1))
        return torch.where(keep, computed, shortcut(x, None))


class Gathered:
    """Each block runs on the samples that keep it.

    Args:
        table: bool, [B, K].
        device: Of the images.
        host: The table on the CPU, if it is there already; else it is copied once.
        in_stretches: For each block, whether its rows run stretch by stretch, where they stand, instead of
            being gathered first; None: none does.
    """

    def __init__(
        self,
        table: Tensor,
        device: torch.device,
        host: Tensor | None = None,
        in_stretches: Sequence[bool] | None = None,
    ) -> None:
        self.in_stretches = tuple(in_stretches or [False] * table.shape[1])
        self.columns = columns(table.to(device), table.cpu() if host is None else host, self.in_stretches)
        self.kept_by_all = [len(column.dropped) == 0 for column in self.columns]

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """Runs the block on its rows and puts them back in their places."""
        column = self.columns[index]
        if self.kept_by_all[index]:
            return block(x, None)
        if len(column.kept) == 0:
            return shortcut(x, None)
        if self.in_stretches[index] and not torch.is_grad_enabled():
            return self._by_stretch(column, block, shortcut, x)
        computed = block(take(x, column.kept), column.kept)
        return merged(column, computed, shortcut(take(x, column.dropped), column.dropped))

    def _by_stretch(self, column: Column, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        # A slice of a batch is no copy, and a few samples stay in the cache from one layer to the next.
        whole, done = None, {True: 0, False: 0}
        for kept, first, past in column.stretches:
            rows = (column.kept if kept else column.dropped)[done[kept] : done[kept] + past - first]
            done[kept] += past - first
            part = (block if kept else shortcut)(x[first:past], rows)
            whole = empty(part, len(x)) if whole is None else whole
            whole[first:past] = part
        assert whole is not None
        return whole

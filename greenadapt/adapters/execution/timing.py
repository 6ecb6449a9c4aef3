"""Times the parts of one forward pass: each gated block, its shortcut, and the rest; and the moving of rows.

    step of a block    mark ── block ── mark ── shortcut ── mark
    rest               the whole pass less all of its steps

On CUDA marks are events, and the host waits once, after the pass; elsewhere the clock is read.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.execution.placing import empty, put, take
from greenadapt.adapters.gates import Rowwise, under

_TRIES = 4
_MOST_BYTES = 2**26


@dataclass(frozen=True)
class Times:
    """Seconds of one forward pass of some samples, by part.

    Attributes:
        block: Of each of the K blocks.
        shortcut: Of what each block still runs when it is dropped.
        rest: Of everything else.
        row_bytes: Bytes of one sample in the output of each block.
    """

    block: tuple[float, ...]
    shortcut: tuple[float, ...]
    rest: float
    row_bytes: tuple[int, ...]


@dataclass(frozen=True)
class Moving:
    """Seconds a byte of taking rows out of a batch, and of writing rows into one."""

    take: float
    put: float


def timed(model: nn.Module, images: Tensor) -> Times:
    """Times one forward pass of a model of gated blocks.

    Args:
        model: In eval mode, its blocks gated.
        images: [n, C, H, W], n > 0, on the model's device.
    """
    run = _Timed(images.device)
    begun = run.mark()
    with under(run), torch.no_grad():
        model(images)
    ended = run.mark()
    if images.device.type == "cuda":
        torch.cuda.synchronize(images.device)
    steps = [
        [_between(one, following) for one, following in pairwise(marks)]
        for _, marks in sorted(run.marks.items())
    ]
    block, shortcut = zip(*steps, strict=True) if steps else ((), ())
    rest = max(0.0, _between(begun, ended) - sum(map(sum, steps)))
    return Times(block, shortcut, rest, tuple(size for _, size in sorted(run.row_bytes.items())))


def moved(rows: int, row_bytes: int, device: torch.device) -> Moving:
    """Times the moving of every other row of a batch; on the least of a few tries.

    Args:
        rows: In the batch; at least 2.
        row_bytes: Bytes of one of them.
        device: Where they are.
    """
    # As many bytes as a real batch has, so that it lies in the cache, or does not, as a real one would.
    x = torch.zeros(
        max(2, min(rows, _MOST_BYTES // max(1, row_bytes))), max(1, row_bytes // 4), device=device
    )
    half = torch.arange(0, len(x), 2, device=device)
    run, taken, placed = _Timed(device), [], []
    for _ in range(_TRIES):
        # A fresh tensor for each, as in a run: memory that is new to the process is part of the price.
        begun = run.mark()
        some = take(x, half)
        between = run.mark()
        put(empty(x, len(x)), half, some)
        ended = run.mark()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(_between(begun, between))
        placed.append(_between(between, ended))
    size = len(half) * x.shape[1] * 4
    return Moving(min(taken) / size, min(placed) / size)


class _Timed:
    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: dict[int, list[Any]] = {}
        self.row_bytes: dict[int, int] = {}

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """Runs the block, and beside it what is left of it when it is dropped."""
        marks = [self.mark()]
        computed = block(x, None)
        marks.append(self.mark())
        shortcut(x, None)
        marks.append(self.mark())
        self.marks[index] = marks
        self.row_bytes[index] = computed[0].nbytes if isinstance(computed, Tensor) else x[0].nbytes
        return computed

    def mark(self) -> Any:
        """A moment: an event recorded on CUDA, else the clock once all work so far is done."""
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            return event
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()


def _between(one: Any, following: Any) -> float:
    if isinstance(one, float):
        return float(following - one)
    return float(one.elapsed_time(following)) / 1000

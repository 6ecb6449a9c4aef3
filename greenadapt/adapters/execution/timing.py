"""Times the parts of one forward pass: each gated block, its shortcut, and the rest; and the moving of rows.

    step of a block    mark ── block ── mark ── shortcut ── mark
    rest               the whole pass less all of its steps

The clock is that of `greenadapt.adapters.timing`; on CUDA the host waits once, after the pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.execution.placing import empty, put, take
from greenadapt.adapters.gates import Gated, Rowwise, routing, under
from greenadapt.adapters.timing import Clock

_TRIES = 4
_MOST_BYTES = 2**26


@dataclass(frozen=True)
class Times:
    """Seconds of one forward pass of some samples, by part.

    Attributes:
        block: Of each of the K blocks.
        shortcut: Of what each block still runs when it is dropped.
        rest: Of everything else.
        row_bytes: Bytes of one sample in the output of each block; like the seconds, 0 for a block that the
            forward never calls.
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


def pass_times(model: nn.Module, images: Tensor) -> Times:
    """Times one forward pass of a model of gated blocks.

    Args:
        model: In eval mode, its blocks gated.
        images: [n, C, H, W], n > 0, on the model's device.
    """
    clock = Clock(images.device)
    run = Marked(clock.mark)
    begun = clock.mark()
    with routing(None), under(run), torch.no_grad():
        model(images)
    ended = clock.mark()
    clock.wait()
    count = _blocks(model)
    block, shortcut = [0.0] * count, [0.0] * count
    for index, (start, middle, end) in run.marks.items():
        block[index], shortcut[index] = clock.seconds(start, middle), clock.seconds(middle, end)
    rest = max(0.0, clock.seconds(begun, ended) - sum(block) - sum(shortcut))
    row_bytes = tuple(run.row_bytes.get(index, 0) for index in range(count))
    return Times(tuple(block), tuple(shortcut), rest, row_bytes)


def _blocks(model: nn.Module) -> int:
    """How many a policy decides on; some may be gone, as where a network is pruned to its features."""
    known = getattr(model, "greenadapt_blocks", None)
    if known is not None:
        return int(known)
    return sum(len(module.gate_blocks) for module in model.modules() if isinstance(module, Gated))


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
    clock, taken, placed = Clock(device), [], []
    for _ in range(_TRIES):
        # A fresh tensor for each, as in a run: memory that is new to the process is part of the price.
        begun = clock.mark()
        some = take(x, half)
        between = clock.mark()
        put(empty(x, len(x)), half, some)
        ended = clock.mark()
        clock.wait()
        taken.append(clock.seconds(begun, between))
        placed.append(clock.seconds(between, ended))
    size = len(half) * x.shape[1] * 4
    return Moving(min(taken) / size, min(placed) / size)


class Marked:
    """A run of all blocks that marks where each begins, where it ends, and where its shortcut alone does.

    Args:
        mark: What to take down at each of the three: a moment, what was counted so far.

    Attributes:
        marks: By the number of the block.
        row_bytes: Bytes of one sample in the output of each block, by its number.
    """

    kept_by_all = None

    def __init__(self, mark: Callable[[], Any]) -> None:
        self._mark = mark
        self.marks: dict[int, tuple[Any, Any, Any]] = {}
        self.row_bytes: dict[int, int] = {}

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """Runs the block, and beside it what is left of it when it is dropped."""
        start = self._mark()
        computed = block(x, None)
        middle = self._mark()
        shortcut(x, None)
        self.marks[index] = (start, middle, self._mark())
        self.row_bytes[index] = computed[0].nbytes if isinstance(computed, Tensor) else x[0].nbytes
        return computed

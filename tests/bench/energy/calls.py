"""Joules per call of `greenadapt.measure` against the oracle, in real time.

    measure   |.|.|.|.|.|.|.|.|      a trial: whole calls for W seconds
    counter   ^    ^    ^    ^       every U
    oracle      [-----------]        true energy from the first counted call to the end of the last

One task is one `measure`: a counter's period, a trial's length, a call's length, steady or jittered. Its
trials are pooled with those of the other call lengths; the error of each trial is that of its joules per
call.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from greenadapt import measure
from greenadapt.auditing.instruments import Stretch
from tests.bench.energy import boards
from tests.bench.energy.loads import Calls
from tests.bench.energy.rows import Row, errors_shown, percentile

LENGTHS = (0.0031, 0.0073, 0.0173, 0.037, 0.0573)
"""Seconds of a call: none in step with a counter of 10, 20, 100 or 500 ms."""
IN_STEP = (0.0167, 0.0249, 0.0499)
"""Nearly a sixth, a quarter and a half of 100 ms: ticks keep falling into the same part of a call."""


@dataclass(frozen=True)
class Cell:
    """A line of the table: all trials of one length at one period of the counter."""

    period: float
    seconds: float
    trials: int
    bar: float | None
    lengths: tuple[float, ...] = LENGTHS

    @property
    def condition(self) -> str:
        """As the page names it."""
        where = f"U = {self.period * 1000:.0f} ms, {self.seconds:g} s"
        return where if self.bar is not None else f"{where}, calls nearly in step with the counter"


CELLS = (
    *(Cell(period, 1.0, 6, 0.005) for period in (0.01, 0.02, 0.1)),
    *(Cell(period, 5.0, 4, 0.001) for period in (0.01, 0.02, 0.1)),
    Cell(0.5, 25.0, 4, 0.001),
    Cell(0.1, 1.0, 6, None, IN_STEP),
    Cell(0.1, 5.0, 4, None, IN_STEP),
)
QUICK = (Cell(0.02, 1.0, 2, 0.005, LENGTHS[2:4]), Cell(0.1, 1.0, 2, 0.005, LENGTHS[2:4]))


def rows(quick: bool, seed: int) -> list[Row]:
    """The figures of every cell.

    Args:
        quick: Two cells with two call lengths only.
        seed: Of phases and scatter.
    """
    cells = QUICK if quick else CELLS
    wanted = [
        (cell, length, jittered, hash_of(seed, number, place))
        for number, cell in enumerate(cells)
        for place, (length, jittered) in enumerate(itertools.product(cell.lengths, (False, True)))
    ]
    # The longest first: what is left at the end is short, and no process waits for long.
    wanted.sort(key=lambda task: -task[0].seconds)
    found = boards.run_all("calls", measured, wanted, quick)
    results = list(zip(wanted, found, strict=True))
    return [_row(cell, [result for task, result in results if task[0] == cell]) for cell in cells]


def hash_of(*numbers: int) -> int:
    """A seed from several numbers, the same in every run."""
    return random.Random(repr(numbers)).getrandbits(32)


def measured(cell: Cell, length: float, jittered: bool, seed: int) -> dict[str, Any]:
    """One `measure` on a board of this process.

    Returns:
        The call's length and kind, the relative error of every trial, and why any has none.
    """
    (board,) = boards.fresh([cell.period], random.Random(seed))
    step = Calls(board, length, jittered, seed)
    result = measure(step, seconds=cell.seconds, trials=cell.trials, meter="nvml:0", device="cpu")
    errors, reasons = [], []
    for trial, (start, end) in zip(result.trials, counted(result.trials, step), strict=True):
        if trial.joules is None:
            reasons.append(trial.why_not or "no reason given")
        else:
            errors.append(trial.joules / board.joules(start, end) - 1)
    return {
        "milliseconds": round(length * 1000, 3),
        "jittered": jittered,
        "errors": errors,
        "why_not": reasons,
        "late_p99": percentile(step.late, 0.99),
    }


def counted(trials: Sequence[Stretch], step: Calls) -> list[tuple[float, float]]:
    """When the first counted call of each trial began and its last one ended, by the step's own clock.

    Raises:
        ValueError: A trial does not tell when it began, or its calls are not those that it says.
    """
    moments = []
    for trial in trials:
        if trial.started is None:
            raise ValueError("a trial that does not tell when it began")
        # A call notes its moments between those of the instrument, so no tolerance is needed.
        first = bisect.bisect_left(step.begun, trial.started)
        last = bisect.bisect_right(step.ended, trial.started + trial.seconds) - 1
        if last - first + 1 != trial.calls:
            raise ValueError(f"{last - first + 1} calls ran in a trial that counts {trial.calls}")
        moments.append((step.begun[first], step.ended[last]))
    return moments


def _row(cell: Cell, results: Sequence[dict[str, Any]]) -> Row:
    errors = [error for result in results for error in result["errors"]]
    missing = [reason for result in results for reason in result["why_not"]]
    shown, values = errors_shown(errors)
    if errors:
        values["mean"] = sum(errors) / len(errors)
    late = max(result["late_p99"] for result in results)
    notes = [f"at worst, one call in a hundred ended {late * 1000:.1f} ms late"]
    if missing:
        notes.insert(0, f"{len(missing)} trials without a figure: {missing[0]}")
    reached = None
    if cell.bar is not None:
        within = bool(errors) and percentile([abs(error) for error in errors], 0.95) <= cell.bar
        reached = within and not missing
    return Row(
        name="joules per call (`measure`)",
        condition=cell.condition,
        bar=f"p95 <= {cell.bar * 100:g} %" if cell.bar is not None else "",
        shown=shown,
        met=reached,
        n=len(errors),
        note="; ".join(notes),
        values=values,
        raw=list(results),
    )

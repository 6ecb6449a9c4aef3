"""How often the counter moves, as the instrument finds it under a load that is out of step with it."""

from __future__ import annotations

import random
from typing import Any

from greenadapt.auditing.instruments import open_instrument
from tests.bench.energy import boards
from tests.bench.energy.calls import hash_of
from tests.bench.energy.loads import Calls
from tests.bench.energy.rows import Row, percent

PERIODS = (0.01, 0.015, 0.02, 0.05, 0.1, 0.2, 0.5)
_QUICK = (0.02, 0.1)
_BAR = 0.10
_REPEATS = 6
_JITTER = 0.1
"""Of a movement of the counter, in periods."""
_LENGTHS = (0.004, 0.0117, 0.037)


def rows(quick: bool, seed: int) -> list[Row]:
    """A row per period.

    Args:
        quick: Two periods, twice each.
        seed: Of phases and scatter.
    """
    periods, repeats = (_QUICK, 2) if quick else (PERIODS, _REPEATS)
    wanted = [
        (period, _LENGTHS[repeat % len(_LENGTHS)], hash_of(seed, 3, number, repeat))
        for number, period in enumerate(periods)
        for repeat in range(repeats)
    ]
    found = boards.run_all("periods", measured, wanted, quick)
    return [
        _row(period, [seen for task, seen in zip(wanted, found, strict=True) if task[0] == period])
        for period in periods
    ]


def measured(period: float, length: float, seed: int) -> float | str:
    """The period that is found on a board of this process; a sentence where none is."""
    (board,) = boards.fresh([period], random.Random(seed), jitter=_JITTER)
    step = Calls(board, length, jittered=True, seed=seed)
    instrument = open_instrument("nvml:0", "cpu")
    try:
        instrument.find_period(step)
        found: Any = instrument.info.period_seconds if instrument.info is not None else None
        return found if found is not None else "no period found"
    finally:
        instrument.close()


def _row(period: float, found: list[float | str]) -> Row:
    numbers = [seen for seen in found if not isinstance(seen, str)]
    failures = [seen for seen in found if isinstance(seen, str)]
    worst = max((abs(seen / period - 1) for seen in numbers), default=None)
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    shown = (
        f"{low * 1000:.2f} to {high * 1000:.2f} ms, off by at most {percent(worst)}"
        if worst is not None
        else ""
    )
    return Row(
        name="U found",
        condition=f"U = {period * 1000:g} ms",
        bar=f"within +-{_BAR * 100:g} %",
        shown=shown or "none found",
        met=worst is not None and not failures and worst <= _BAR,
        n=len(found),
        note="; ".join(sorted(set(failures))),
        values={"worst": worst},
        raw=found,
    )

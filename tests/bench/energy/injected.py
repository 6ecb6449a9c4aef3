"""Injected faults and forms of device selection: the rows of `tests.bench.faults`."""

from __future__ import annotations

from tests.bench.energy.rows import Row, row_of


def rows(quick: bool, seed: int) -> list[Row]:
    """Every fault, whether it was caught and by which sentence; every form, and the board it led to.

    Args:
        quick: Passed on.
        seed: Passed on.
    """
    from tests.bench import faults

    return [row_of(row) for row in faults.rows(quick, seed)]

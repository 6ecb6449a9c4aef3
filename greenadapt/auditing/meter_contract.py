"""The contract of a meter, point by point; `greenadapt.testing.check_meter` calls it.

1. What it says of itself: name, kind, scope, period and uncertainty are what they must be.
2. Readings are finite floats that never fall.
3. The period is true: neither another than stated, nor one that is not stated.
4. Parts (one per board) add up to the whole, and each names its board.
5. A reading that fails is a `MeasurementError`, never a number; so is one after `close`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

from greenadapt.errors import GreenadaptError, MeasurementError
from greenadapt.interfaces import Meter
from greenadapt.meters.clocks import REAL, Clock
from greenadapt.meters.periods import period_of
from greenadapt.meters.recorders import watch
from greenadapt.meters.ticks import SLOW_PERIOD_SECONDS

_PERIOD_TOLERANCE = 0.25
_LEAST_WATCH_SECONDS = 0.5
_UNTOLD_SECONDS = 0.05
"""A counter that stands still for longer than this must say so."""


def hold_to_contract(
    meter: Meter, readings: int, break_it: Callable[[], object] | None, clock: Clock = REAL
) -> None:
    """Holds an open meter to its contract, and closes it.

    Args:
        meter: The instrument.
        readings: How many to take at once.
        break_it: Makes its source fail, so that the next reading must be an error.
        clock: What the period is found on.

    Raises:
        AssertionError: A point does not hold; the message names it.
    """
    _check_description(meter)
    _check_readings([meter.read() for _ in range(readings)])
    for part in (meter, *parts_of(meter)):
        _check_period(part, clock)
    _check_parts(meter)
    if break_it is not None:
        break_it()
        _must_fail(meter, "5: a reading that fails gives a number")
    meter.close()
    _must_fail(meter, "5: a closed meter still gives readings")


def parts_of(meter: Meter) -> list[Meter]:
    """The meters of the single boards, where there are several."""
    return list(getattr(meter, "parts", ()))


def _check_description(meter: Meter) -> None:
    info = meter.info
    assert info.name, "1: the meter has no name"
    assert info.name == info.name.lower(), "1: the meter's name is not lower case"
    assert info.kind in ("measured", "estimated"), f"1: the meter's kind is {info.kind!r}"
    assert info.scope, "1: the meter does not say what its joules cover"
    period, fraction = info.period_seconds, info.systematic_fraction
    assert period is None or 0 < period < math.inf, f"1: a period of {period} s"
    assert fraction is None or 0 <= fraction < 1, f"1: an uncertainty of {fraction}; 0.05 is five per cent"


def _check_readings(taken: list[float]) -> None:
    assert all(isinstance(joules, float) for joules in taken), "2: a reading is no float"
    assert all(math.isfinite(joules) for joules in taken), "2: a reading is not finite"
    assert all(a <= b for a, b in pairwise(taken)), "2: the counter fell"


def _check_period(meter: Meter, clock: Clock) -> None:
    stated = meter.info.period_seconds
    if parts_of(meter) or (stated is not None and stated < SLOW_PERIOD_SECONDS):
        return  # a sum moves whenever one of its parts does
    seconds = max(_LEAST_WATCH_SECONDS, 6.5 * (stated or 0.0))
    try:
        ticks = watch(meter, None, seconds, clock)
    except MeasurementError as error:
        raise AssertionError(f"2: the counter fell, or failed: {error}") from error
    found = period_of(ticks)
    if stated is None:
        assert found is None or found < _UNTOLD_SECONDS, (
            f"3: the counter moves every {found:.3g} s, and `info.period_seconds` is None"
        )
        return
    seen = f"{len(ticks)} times in {seconds:.2g} s"
    assert found is not None, f"3: the counter moved {seen}, not every {stated} s"
    assert abs(found / stated - 1) <= _PERIOD_TOLERANCE, (
        f"3: the counter moves every {found:.3g} s, not every {stated} s"
    )


def _check_parts(meter: Meter) -> None:
    parts = parts_of(meter)
    if not parts:
        return
    boards = [part.info.board for part in parts]
    assert None not in boards, "4: a part does not name its board"
    assert len(set(boards)) == len(boards), f"4: two parts count one board: {boards}"
    assert meter.info.board is None or len(parts) == 1, "4: the sum of several boards names one of them"
    before = meter.read()
    total = sum(part.read() for part in parts)
    after, slack = meter.read(), 1e-9 * abs(before)
    assert before - slack <= total <= after + slack, f"4: the parts make {total} J, the whole {before} J"


def _must_fail(meter: Meter, message: str) -> None:
    try:
        meter.read()
    except GreenadaptError:
        return
    except Exception as error:
        raise AssertionError(f"{message}, or {type(error).__name__} instead of MeasurementError") from error
    raise AssertionError(message)

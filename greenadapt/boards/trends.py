"""Figures from samples that came at random moments; None where there are too few to tell.

|  first third  |               |  last third   |     drift   = last - first, relative
|          first half           | 1st |   | 3rd |     motion  = what still moves at the end
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance

_FEWEST_IN_A_THIRD = 3
_FEWEST_POLLS = 8
_SURE = 3.0
_SLOWEST_COUNTER_SECONDS = 0.5
_KNOWN_WITHIN = 0.1


def drift(seconds: Sequence[float], values: Sequence[float], kinds: Sequence[str | None]) -> float | None:
    """Relative change from the first third of the time to the last.

    Each kind is compared with its own mean, so that networks with clocks of their own, which alternate, make
    no drift. A change that is within three standard errors of none counts as none.

    Args:
        seconds: When, ascending.
        values: What was read.
        kinds: What ran.

    Returns:
        0.01 is one per cent up; None with fewer than three samples in a third.
    """
    sums: dict[str | None, list[float]] = {}
    for value, kind in zip(values, kinds, strict=True):
        sums.setdefault(kind, []).append(value)
    means = {kind: fmean(each) for kind, each in sums.items()}
    if any(mean <= 0 for mean in means.values()):
        return None
    change = _change(seconds, [value / means[kind] for value, kind in zip(values, kinds, strict=True)])
    if change is None:
        return None
    return change[0] if abs(change[0]) > _SURE * change[1] else 0.0


def motion(seconds: Sequence[float], values: Sequence[float]) -> float | None:
    """How far the values still move at the end: last third less first third of the second half of the time.

    Returns:
        In the unit of the values; None with fewer than three samples in a third.
    """
    if not seconds:
        return None
    half = (seconds[0] + seconds[-1]) / 2
    late = [(moment, value) for moment, value in zip(seconds, values, strict=True) if moment >= half]
    change = _change([moment for moment, _ in late], [value for _, value in late])
    return change[0] if change is not None else None


def _change(seconds: Sequence[float], values: Sequence[float]) -> tuple[float, float] | None:
    """Mean of the last third of the time less that of the first, and its standard error."""
    if not seconds:
        return None
    third = (seconds[-1] - seconds[0]) / 3
    first = [value for moment, value in zip(seconds, values, strict=True) if moment < seconds[0] + third]
    last = [value for moment, value in zip(seconds, values, strict=True) if moment > seconds[-1] - third]
    if min(len(first), len(last)) < _FEWEST_IN_A_THIRD:
        return None
    error = math.sqrt(sum(pvariance(part) / (len(part) - 1) for part in (first, last)))
    return fmean(last) - fmean(first), error


@dataclass(frozen=True)
class Powers:
    """Mean power of a board over one stretch by its two instruments.

    Attributes:
        polled_watts: Mean of single readings at random moments.
        counter_watts: The energy counter's difference over the time.
        disagreement: polled / counter - 1; None where it is not known within a tenth, because the readings
            scatter (a sensor may see 25 of every 100 ms) or the stretch is short.
    """

    polled_watts: float
    counter_watts: float
    disagreement: float | None


def powers(seconds: Sequence[float], watts: Sequence[float], joules: Sequence[float]) -> Powers | None:
    """Power against energy; intervals over which the counter fell are left out.

    Args:
        seconds: When both were read, ascending.
        watts: The polled power.
        joules: The counter.

    Returns:
        None with fewer than eight readings, or if neither saw any power.
    """
    if len(seconds) < _FEWEST_POLLS:
        return None
    steps = [
        (seconds[after] - seconds[after - 1], joules[after] - joules[after - 1])
        for after in range(1, len(seconds))
        if joules[after] >= joules[after - 1]
    ]
    time, energy = sum(step[0] for step in steps), sum(step[1] for step in steps)
    mean = fmean(watts)
    if time <= 0 or (energy <= 0 and mean <= 0):
        return None
    largest = max(mean, energy / time)
    scatter = 2 * math.sqrt(pvariance(watts) / (len(watts) - 1)) / largest
    known = scatter + _SLOWEST_COUNTER_SECONDS / time <= _KNOWN_WITHIN
    difference = mean * time / energy - 1 if energy > 0 else math.inf
    return Powers(mean, energy / time, difference if known else None)

"""Student's interval of repeated readings, and the constants of every interval."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from greenadapt.profile import Interval

CONFIDENCE = 0.95
Z_95 = 1.959963984540054


@functools.lru_cache
def student_t(degrees_of_freedom: int) -> float:
    """How many standard errors the 95 % interval of a mean reaches to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.5 + CONFIDENCE / 2))


@functools.lru_cache
def fisher_f(upper: int, lower: int, level: float) -> float:
    """The ratio of two estimates of one variance that is passed by chance in a given share of cases.

    Args:
        upper: Degrees of freedom of the estimate above the line.
        lower: Degrees of freedom of the one below it.
        level: The share, such as 0.05.
    """
    from scipy.special import fdtri

    return float(fdtri(upper, lower, 1 - level))


def interval(values: Sequence[float], log: bool = False) -> Interval:
    """Mean of repeated readings with its 95 % interval (Student's t over the readings).

    Args:
        values: At least two readings; above zero if `log`.
        log: Work on the logarithms: the mean is then the geometric one, the interval is never
            negative, and the ratio of two such means is the mean of the ratios.

    Raises:
        ValueError: Fewer than two readings, or one that is not above zero on the log scale.
    """
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two readings, not {len(values)}")
    if log and min(values) <= 0:
        raise ValueError(f"a reading of {min(values)} has no logarithm")
    points = [math.log(value) for value in values] if log else [float(value) for value in values]
    mean = math.fsum(points) / len(points)
    reach = student_t(len(points) - 1) * math.sqrt(variance(points) / len(points))
    return interval_of(mean, reach, len(points), log)


def interval_of(mean: float, reach: float, trials: int, log: bool) -> Interval:
    """An interval that reaches as far to either side, taken back from the logarithms if `log`."""
    ends = (mean, mean - reach, mean + reach)
    mean, low, high = (math.exp(end) for end in ends) if log else ends
    return Interval(mean=mean, low=low, high=high, trials=trials)


def variance(points: Sequence[float]) -> float:
    """Sample variance of at least two points."""
    mean = math.fsum(points) / len(points)
    return math.fsum((point - mean) ** 2 for point in points) / (len(points) - 1)

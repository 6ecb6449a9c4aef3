"""Whether two networks differ: in accuracy on the same images, and in cost when they ran apart.

Of the images that both classify alike nothing can be learnt; the test is on the others:

                  other right   other wrong
    one right          -            won
    one wrong        lost            -

The ratio of costs within one interleaved run is `greenadapt.statistics.paired_ratio`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from greenadapt.profile import Interval, Quality
from greenadapt.statistics import Z_95, student_t, unpack_hits


@dataclass(frozen=True)
class AccuracyDifference:
    """Top-1 of one network minus top-1 of another, on the same images.

    Attributes:
        mean: The difference as a fraction: -0.01 is one point less accurate.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p_value: McNemar's exact test, two-sided.
        won: Images that only the one network classifies correctly.
        lost: Images that only the other does.
    """

    mean: float
    low: float
    high: float
    p_value: float
    won: int
    lost: int


def accuracy_difference(one: Quality, other: Quality) -> AccuracyDifference | None:
    """Compares two networks image by image.

    Args:
        one: What the one network got right.
        other: What the other got right.

    Returns:
        Accuracy of the one minus that of the other, or None if they did not see the same images.

    Raises:
        ProfileError: A bitmap of hits cannot be read.

    Source:
        The interval is Agresti and Min's (2005): half an image is added to each cell of the table.
    """
    if one.fingerprint != other.fingerprint or one.images != other.images:
        return None
    images = one.images
    ours, theirs = _bits(one.hits, images), _bits(other.hits, images)
    won, lost = (ours & ~theirs).bit_count(), (theirs & ~ours).bit_count()
    centre = (won - lost) / (images + 2)
    reach = Z_95 * math.sqrt(won + lost + 1 - (won - lost) ** 2 / (images + 2)) / (images + 2)
    return AccuracyDifference(
        mean=(won - lost) / images,
        low=centre - reach,
        high=centre + reach,
        p_value=mcnemar(won, lost),
        won=won,
        lost=lost,
    )


@lru_cache(maxsize=64)
def _bits(hits: str, images: int) -> int:
    return int("".join("1" if hit else "0" for hit in unpack_hits(hits, images)), 2)


def mcnemar(won: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test.

    Args:
        won: Images that only the one network classifies correctly.
        lost: Images that only the other does.

    Returns:
        Probability of a split at least as uneven if both were equally accurate; 1 if they never differ.
    """
    differing, rarer = won + lost, min(won, lost)
    log_ways = math.lgamma(differing + 1) - differing * math.log(2)
    tail = math.fsum(
        math.exp(log_ways - math.lgamma(k + 1) - math.lgamma(differing - k + 1)) for k in range(rarer + 1)
    )
    return min(1.0, 2 * tail)


def unpaired_ratio(base: Iterable[float], other: Iterable[float]) -> Interval | None:
    """Ratio other / base of networks measured in different runs, with its 95 % interval.

    Args:
        base: Positive figures per trial, such as joules per inference.
        other: The same of the other network.

    Returns:
        Welch's interval on the logarithms, its degrees of freedom rounded down; None if either has
        fewer than two trials.
    """
    logs = [[math.log(figure) for figure in figures] for figures in (base, other)]
    if min(len(points) for points in logs) < 2:
        return None
    means = [math.fsum(points) / len(points) for points in logs]
    errors = [
        math.fsum((point - mean) ** 2 for point in points) / (len(points) - 1) / len(points)
        for points, mean in zip(logs, means, strict=True)
    ]
    error = sum(errors)
    terms = sum(part**2 / (len(points) - 1) for part, points in zip(errors, logs, strict=True))
    freedom = max(1, int(error**2 / terms)) if terms > 0 else sum(len(points) for points in logs) - 2
    reach = student_t(freedom) * math.sqrt(error)
    centre = means[1] - means[0]
    low, mean, high = (math.exp(centre + shift) for shift in (-reach, 0.0, reach))
    return Interval(mean=mean, low=low, high=high, trials=min(len(points) for points in logs))

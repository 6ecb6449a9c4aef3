"""How often a counter moves, and when exactly it did.

The looks that enclose a tick leave a doubt about its moment, of a millisecond or, on a crowded machine,
of ten. All ticks together leave far less, because they stand on one grid:

    looks       o  o  o [o  o] o  o [o  o] o  o  o [o  o] o        [ ] the counter moved in here
    grid               |           |           |                   nowhere else

`period_of` looks for the grid that has a point in every such bracket and none outside. A median of the
distances would not do: with looks 8 ms apart a counter of 10 ms shows distances of 8 and 16 ms only, and a
tick that is missed counts two periods as one. `sharpen` puts the ticks of a recording onto their grid, as
far as their brackets allow.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from greenadapt.meters.ticks import LEAST_TICKS, Tick

Array = NDArray[np.float64]
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.0005, 1.2
_MOST_TICKS = 48
_SHORTEST_SEARCH_SECONDS = 0.1
_TICKS_PER_COARSENESS = 300
_PHASES = 32
_SLACK = 0.03
"""Share of the period by which a tick may be off the grid: counters are not perfect clocks."""


def period_of(ticks: Sequence[Tick]) -> float | None:
    """Seconds between two movements of the counter.

    Args:
        ticks: All movements that were seen of a counter looked at again and again, oldest first. Some
            may have been missed, and the looks may have come late.

    Returns:
        The period; None for fewer than three ticks.
    """
    if len(ticks) < LEAST_TICKS:
        return None
    some = list(ticks[:_MOST_TICKS])
    early, late = (np.array(side) for side in ([t.earliest for t in some], [t.latest for t in some]))
    gaps = np.diff((early + late) / 2)
    shortest, longest = max(gaps.min() / 3, _SHORTEST_SECONDS), min(1.2 * gaps.max(), _LONGEST_SECONDS)
    # As fine as the whole recording can tell apart, within reason.
    finest = min(max(np.median(late - early) / (late[-1] - early[0]), 0.001), 0.005)
    count = min(4000, max(2, int(np.log(max(longest / shortest, 1.01)) / finest)))
    candidates = np.geomspace(shortest, max(longest, 1.01 * shortest), count)
    scores = np.array([_score(early, late, period) for period in candidates])
    best = candidates[scores >= scores.max() - 1e-9]
    # Neighbours that fit equally well are one answer; of several answers the longest has the fewest
    # points for which nothing speaks.
    start = len(best) - 1
    while start > 0 and best[start - 1] > best[start] * (1 - 3 * finest):
        start -= 1
    return _refined(early, late, float(np.mean(best[start:])))


def enough(ticks: Sequence[Tick]) -> bool:
    """Whether these ticks tell the period to within a few per cent: five, or more where looks are coarse."""
    if len(ticks) < 5 or ticks[-1].seconds - ticks[0].seconds < _SHORTEST_SEARCH_SECONDS:
        return False
    widths, gaps = [2 * t.doubt_seconds for t in ticks], [b.seconds - a.seconds for a, b in pairwise(ticks)]
    return len(ticks) >= min(_MOST_TICKS, _TICKS_PER_COARSENESS * median(widths) / median(gaps))


def sharpen(ticks: Sequence[Tick], period_seconds: float) -> list[Tick]:
    """The same ticks, their moments improved by what all of them say together.

    Args:
        ticks: Of one recording, oldest first; some may be missing.
        period_seconds: How often the counter moves, roughly.

    Returns:
        Ticks within the brackets of the given ones. The same ones, where they are too few or do not
        stand on a grid.
    """
    if len(ticks) < LEAST_TICKS:
        return list(ticks)
    middle, doubt = (np.array(x) for x in ([t.seconds for t in ticks], [t.doubt_seconds for t in ticks]))
    number = np.concatenate([[0.0], np.cumsum(np.round(np.diff(middle) / period_seconds))])
    weight = 1 / (doubt + 1e-5)
    offset = middle[0]
    line = np.polyfit(number, middle - offset, 1, w=weight)
    grid = np.polyval(line, number) + offset
    inside = np.abs(grid - middle) <= doubt + 5e-5
    if number[-1] < 2 or inside.mean() < 0.75:
        return list(ticks)
    moments = np.clip(grid, middle - doubt, middle + doubt)
    typical = float(np.median(doubt))
    return [
        Tick(float(moment), tick.joules, min(tick.doubt_seconds, typical) if on_grid else tick.doubt_seconds)
        for moment, tick, on_grid in zip(moments, ticks, inside, strict=True)
    ]


def _score(early: Array, late: Array, period: float) -> float:
    """Share of the brackets that hold a point of the best grid, less that of the points outside."""
    slack = _SLACK * period
    phases = np.arange(_PHASES)[:, None] / _PHASES * period
    if period > 4 * np.median(late - early):
        # The narrowest bracket holds a point: no need to try phases elsewhere.
        narrow = int(np.argmin(late - early))
        phases = np.linspace(early[narrow], late[narrow], 5)[:, None]
    held = np.floor((late + slack - phases) / period) >= np.ceil((early - slack - phases) / period)
    before_next = np.ceil((early[1:] - slack - phases) / period) - 1
    stray = np.clip(before_next - np.floor((late[:-1] + slack - phases) / period), 0, 2)
    return float((held.mean(axis=1) - stray.mean(axis=1)).max())


def _refined(early: Array, late: Array, period: float) -> float:
    width, middle = late - early, (early + late) / 2
    anchor = middle[int(np.argmin(width))]
    for _ in range(3):
        number = np.round((middle - anchor) / period)
        sharp = (width < period / 2) | (width <= np.median(width))
        if np.ptp(number[sharp]) < 2:
            return period
        line = np.polyfit(number[sharp], (middle - anchor)[sharp], 1, w=1 / (width[sharp] + 1e-4))
        if abs(line[0] / period - 1) > 0.05:
            return period
        period = float(line[0])
    return period

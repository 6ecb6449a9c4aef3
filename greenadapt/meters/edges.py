"""Energy between two arbitrary moments of a ticking counter, with a bound that holds.

    joules         ______ upper       The counter tells the energy at its ticks alone. At any other moment
          |   ____/                   the truth lies between the tick before and the tick after; near a
          |  /   :                    tick it lies nearer, since power has a limit.
          | /____:_____ lower
          +------:------ time
               moment

The estimate assumes an even power between the moment and the tick that is outside the window; the caller says
which power. The bound takes the worst that a power may do of at most `PEAK_RATIO` times the greatest mean
between the ticks around the moment, or `LIMIT_RATIO` times the board's power limit, if that is more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from greenadapt.meters.ticks import Tick

PEAK_RATIO = 10.0
"""What power may be at most, as a multiple of the greatest mean between ticks around the moment."""
LIMIT_RATIO = 1.2
"""What power may be at most for a moment, as a multiple of the limit that the board enforces on average."""


def standing(
    ticks: Sequence[Tick],
    moment: float,
    watts: float | None = None,
    least: float | None = None,
    limit_watts: float | None = None,
) -> tuple[float, float] | None:
    """What a counter that moved evenly would show at a moment, and the bound on it, both in joules.

    Args:
        ticks: The counter's movements around the moment, oldest first.
        moment: On the ticks' clock.
        watts: Power from this moment to the next tick, where it is known; else what the ticks around give.
        least: What the counter was seen to show at the moment or shortly before it.
        limit_watts: The power limit that the board enforces, where it tells.

    Returns:
        Joules and bound; None if there is no tick after the moment, or nothing known before it.
    """
    after = next((tick for tick in ticks if tick.earliest >= moment), None)
    before = [tick for tick in ticks if tick.earliest < moment]
    known = [*(tick.joules for tick in ticks if tick.latest <= moment), *([] if least is None else [least])]
    if after is None or not known:
        return None
    near = [*before[-2:], after, *[tick for tick in ticks if tick.earliest > after.earliest][:1]]
    peak = max(PEAK_RATIO * _greatest_watts(near), LIMIT_RATIO * (limit_watts or 0.0))
    lower = max([*known, *(t.joules - peak * (t.latest - moment) for t in near if t.latest > moment)])
    upper = min([after.joules, *(tick.joules + peak * (moment - tick.earliest) for tick in before)])
    if watts is None:
        watts = _watts_around(before[-1], after) if before else 0.0
    joules = min(max(after.joules - watts * (after.seconds - moment), lower), upper)
    return joules, max(joules - lower, upper - joules)


def padding_watts(ticks: Sequence[Tick], moment: float) -> float | None:
    """Mean power between the first two ticks after a moment; None if there are not two."""
    later = [tick for tick in ticks if tick.earliest >= moment][:2]
    return _watts_around(*later) if len(later) == 2 else None


def _greatest_watts(ticks: Sequence[Tick]) -> float:
    return max((_watts_around(a, b) for a, b in pairwise(ticks)), default=float("inf"))


def _watts_around(before: Tick, after: Tick) -> float:
    seconds = after.seconds - before.seconds
    return (after.joules - before.joules) / seconds if seconds > 0 else float("inf")

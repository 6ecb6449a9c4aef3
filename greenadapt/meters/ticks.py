"""Following a counter that moves in ticks, with as few looks as can be.

A board's counter stands still for its period U and then jumps. When it jumped is known to within the two
looks around it, so the looks are placed where the next jump is expected:

    joules              ________
          |        ____|              o  a look; the counter is read, and time passes before and after
          |   ____|    |              doubt: half of the time between the looks around the jump
          |__|    |    |
          +--o-o-----o-o-----o-o----- time
             expected moment -w, +w

`Follower` decides when to look and says which looks enclose a tick: no thread, no clock, so that it runs
in virtual time too; `greenadapt.meters.recorders` drives it. Ticks of a short period are followed at random
distances, ten a second: joules do not get lost between them, since the counter keeps the sum, and a
random distance never keeps step with the load.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

LEAST_TICKS = 3
SLOW_PERIOD_SECONDS = 0.005
"""Counters that move more often than this are read at the edges of a window, without ticks."""
TICKS_PER_SECOND = 10.0
_SEARCH_SECONDS = 0.001
_CLOSEST_SECONDS = 0.0002
_ONE_BY_ONE = 3
_MOST_MISSES = 4
_SPREADS = 2.5
_MOST_LAG_SECONDS = 0.002
_PERIOD_DOUBT = 0.005
_STRAY_SECONDS = 3e-5
"""How far a tick strays from its grid by itself."""
_LONGEST_PERIOD_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A movement of the counter.

    Attributes:
        seconds: When it happened, as far as is known.
        joules: Where the counter stood afterwards.
        doubt_seconds: It happened at most so much earlier or later.
    """

    seconds: float
    joules: float
    doubt_seconds: float = 0.0

    @property
    def earliest(self) -> float:
        """The first moment at which it may have happened."""
        return self.seconds - self.doubt_seconds

    @property
    def latest(self) -> float:
        """The last moment at which it may have happened."""
        return self.seconds + self.doubt_seconds


class _Grid:
    """Where ticks are expected: moment and period with their variances, a Kalman filter of two states."""

    def __init__(self, tick: Tick, period: float) -> None:
        self.moment, self.period = tick.seconds, period
        self._variance = tick.doubt_seconds**2 / 3
        self._shared = 0.0
        self._period_variance = (_PERIOD_DOUBT * period) ** 2

    def expected(self, strides: int) -> float:
        return self.moment + strides * self.period

    def spread(self, strides: int) -> float:
        """Standard deviation of what is expected."""
        far = self._variance + 2 * strides * self._shared + strides**2 * self._period_variance
        return math.sqrt(far + _STRAY_SECONDS**2)

    def correct(self, tick: Tick, strides: int) -> bool:
        """Learns from a tick, so many periods after the last one; False for one that does not fit."""
        error, spread = tick.seconds - self.expected(strides), self.spread(strides)
        own = tick.doubt_seconds**2 / 3 + _STRAY_SECONDS**2
        if error**2 > 9 * (spread**2 + own) + tick.doubt_seconds**2:
            return False
        shared = self._shared + strides * self._period_variance
        gain, period_gain = spread**2 / (spread**2 + own), shared / (spread**2 + own)
        self.moment = self.expected(strides) + gain * error
        self.period += period_gain * error
        self._variance = (1 - gain) * spread**2
        self._period_variance -= period_gain * shared
        self._shared = (1 - gain) * shared
        return True


class Follower:
    """Decides when to look at a counter next, and tells which looks enclose a tick.

    It looks shortly before and shortly after the moment that it expects; how shortly follows from what the
    ticks so far leave open. A tick that it misses (the thread woke up late, say) leaves no tick at all
    rather than a blurred one; one that does not come is waited for ever less closely; and where the counter
    proves slower or faster than believed, the belief follows.

    Args:
        period_seconds: How often the counter moves; None to look every millisecond and note all that
            moves.
        ticks_per_second: Follow about so many, at random distances; the counter's own pace at most.
        seed: Of the random distances; None for another one every time.

    Attributes:
        due: When to look next; a moment that has passed means at once.
    """

    def __init__(
        self,
        period_seconds: float | None,
        ticks_per_second: float = TICKS_PER_SECOND,
        seed: int | None = None,
    ) -> None:
        self.due = 0.0
        self._period = period_seconds
        self._one_by_one: float = _ONE_BY_ONE
        self._gap = 1 / ticks_per_second
        self._draw = random.Random(seed)
        self._looked: tuple[float, float] | None = None
        self._last: Tick | None = None
        self._quiet = False
        self._grid: _Grid | None = None
        self._strides = 1
        self._misses = self._unseen = self._closely = 0
        self._reach = self._step = 0.0
        self._lag = 0.0

    @property
    def period_seconds(self) -> float | None:
        """How often the counter moves, as it is believed now."""
        return self._grid.period if self._grid is not None else self._period

    def seen(self, before: float, joules: float, after: float) -> Tick | None:
        """Takes note of a look, whoever made it.

        Args:
            before: The moment before the counter was read.
            joules: What it said.
            after: The moment after.

        Returns:
            The tick between this look and the one before, if they are close enough to tell.
        """
        looked, self._looked = self._looked, (before, joules)
        if self.due > 0:
            late = min(max(before - self.due, 0.0), _MOST_LAG_SECONDS)
            self._lag += 0.1 * (late - self._lag)
        moved = looked is not None and joules != looked[1]
        if looked is not None and moved:
            width, period = after - looked[0], self.period_seconds
            if period is None or width <= period / 2:
                tick = Tick(looked[0] + width / 2, joules, width / 2)
                self._caught(tick, period)
                return tick
            self._quiet = False
        self._plan(after, moved)
        return None

    def hurry(self, now: float) -> None:
        """Follows every tick from this moment on."""
        self._one_by_one = math.inf
        if self._grid is not None:
            next_one = math.ceil((now + self._reach - self._grid.moment) / self._grid.period)
            self._aim(min(self._strides, max(1, next_one)))

    def _caught(self, tick: Tick, period: float | None) -> None:
        last, self._last = self._last, tick
        if period is None:
            self.due = tick.latest + _SEARCH_SECONDS
            return
        gap = tick.seconds - last.seconds if last is not None and self._quiet else period
        if not period / 1.5 < gap < 1.5 * period:
            # It stood still from the one tick to the other, so this is its period, whatever was believed.
            self._grid = _Grid(tick, min(gap, _LONGEST_PERIOD_SECONDS))
        elif self._grid is None:
            self._closely -= 1
            if self._closely > 0:
                self._quiet, self.due = True, tick.latest
                return
            self._grid = _Grid(tick, period)
        else:
            strides = max(1, round((tick.seconds - self._grid.moment) / self._grid.period))
            if not self._grid.correct(tick, strides):
                self._grid = _Grid(tick, self._grid.period)
        self._unseen = 0 if self._quiet else self._unseen
        self._quiet, self._misses = True, 0
        self._one_by_one -= 1
        far = round(self._gap / self._grid.period * self._draw.uniform(0.75, 1.25))
        self._aim(1 if self._one_by_one >= 0 else max(1, far))

    def _aim(self, strides: int) -> None:
        assert self._grid is not None
        self._strides = strides
        wide = _SPREADS * self._grid.spread(strides) * 2**self._misses
        closest = max(_CLOSEST_SECONDS, 2 * self._lag)
        self._reach = self._step = min(max(wide, closest), self._grid.period / 4)
        self.due = self._grid.expected(strides) - self._reach - self._lag

    def _plan(self, now: float, moved: bool) -> None:
        grid = self._grid
        if grid is None:
            search = _SEARCH_SECONDS if self._period is None else self._period / 50
            self.due = now + min(max(search, _SEARCH_SECONDS / 2), 0.005)
            return
        expected = grid.expected(self._strides)
        if moved and (now >= expected or (self._strides == 1 and now >= expected - 1.5 * self._reach)):
            self._missed(grid, now)
        elif now < expected - 1.5 * self._reach:
            self.due = expected - self._reach - self._lag
        elif now < expected - max(0.1 * self._reach, self._lag):
            # In the middle: looks at both ends alone would confirm whatever is expected.
            self.due = expected - self._lag
        elif now < expected + 0.9 * self._reach:
            self.due = expected + self._reach - self._lag
        elif self._strides > 1 and now > expected + 4 * self._reach:
            # With others before it that nobody saw, this one may have come early.
            self._missed(grid, now)
        else:
            self._step = min(1.5 * self._step, max(grid.period / 8, (now - expected) / 20))
            self.due = now + self._step

    def _missed(self, grid: _Grid, now: float) -> None:
        """It came while nobody looked; the next one is as good, unless this happens again and again."""
        self._misses += 1
        self._unseen += self._strides == 1
        if self._misses > _MOST_MISSES or self._unseen > _MOST_MISSES:
            # Two ticks without losing sight of the counter between them show its period anew.
            self._grid, self._misses, self._unseen, self._closely = None, 0, 0, 2
            self.due = now
            return
        next_one = math.floor((now + self._reach - grid.moment) / grid.period) + 1
        self._aim(max(self._strides + 1, next_one))

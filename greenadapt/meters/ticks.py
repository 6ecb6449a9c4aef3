"""Energy from a counter that moves in ticks.

A board's counter stands still for its period U and then jumps:

    joules              _____            slope of the ticks' corners against calls done
          |        ____|     .             = joules per call,
          |   ____|     .                  whatever the phase of the window's edges
          |__|     .
          +--|----|----|---- time        difference of the edges: wrong by up to U / window

`TickRecorder` watches a meter from a thread of its own and keeps the corners; `joules_per_call` fits
the slope; `period` says how often the counter moves.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter

LEAST_TICKS = 3
SLOW_PERIOD_SECONDS = 0.005
"""Counters that move more often than this are read at the edges of a window, without ticks."""


@dataclass(frozen=True)
class Tick:
    """A moment at which the counter had moved, and where it then stood.

    Attributes:
        seconds: When it was seen.
        joules: Where the counter stood.
        late_seconds: How long before it may have happened: the time since the reading before.
    """

    seconds: float
    joules: float
    late_seconds: float = 0.0


class TickRecorder:
    """Watches a meter in a thread while the block runs; `ticks` has the counter's movements.

    Args:
        meter: The instrument; only this recorder may read it meanwhile.
        poll_seconds: Pause between readings.
        clock: Seconds from some fixed moment.

    Attributes:
        ticks: Movements so far, oldest first.
        poll_seconds: The same.
        error: What ended the recording early, if anything did.
    """

    def __init__(
        self, meter: Meter, poll_seconds: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.ticks: list[Tick] = []
        self.error: MeasurementError | None = None
        self._meter = meter
        self.poll_seconds = poll_seconds
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="greenadapt-ticks", daemon=True)

    def __enter__(self) -> TickRecorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def wait_for_tick(self, patience_seconds: float) -> bool:
        """Waits until the counter moves next; False if it does not within that time."""
        seen, end = len(self.ticks), self._clock() + patience_seconds
        while len(self.ticks) == seen and self.error is None and self._clock() < end:
            self._ended.wait(self.poll_seconds / 4)
        return len(self.ticks) > seen

    def _watch(self) -> None:
        try:
            last, looked = self._meter.read(), self._clock()
            while not self._ended.wait(self.poll_seconds):
                joules, now = self._meter.read(), self._clock()
                if joules != last:
                    self.ticks.append(Tick(now, joules, now - looked))
                last, looked = joules, now
        except MeasurementError as error:
            self.error = error


def poll_seconds(period_seconds: float) -> float:
    """How often to look at a counter that moves every `period_seconds`."""
    return min(0.002, period_seconds / 10)


def period(ticks: Sequence[Tick]) -> float | None:
    """Seconds between two movements of the counter (the median); None for fewer than three ticks."""
    if len(ticks) < LEAST_TICKS:
        return None
    return statistics.median(b.seconds - a.seconds for a, b in itertools.pairwise(ticks))


def calls_done(completions: Sequence[float], seconds: float) -> float:
    """How many calls were done at a moment, counting the share of the running one.

    Args:
        completions: When each call was done, rising.
        seconds: A moment between the first and the last of them.
    """
    after = bisect.bisect_right(completions, seconds)
    if after >= len(completions):
        return float(len(completions))
    before, then = completions[after - 1], completions[after]
    return after + (seconds - before) / (then - before)


def joules_per_call(ticks: Sequence[Tick], completions: Sequence[float]) -> float | None:
    """Least-squares slope of energy at the ticks against calls done.

    Args:
        ticks: The counter's movements.
        completions: When each call was done, on the same clock, rising.

    Returns:
        Joules per call; None if fewer than three ticks fall between the first and the last completion.
    """
    inside = [tick for tick in ticks if completions and completions[0] <= tick.seconds < completions[-1]]
    if len(inside) < LEAST_TICKS:
        return None
    return slope([calls_done(completions, tick.seconds) for tick in inside], [tick.joules for tick in inside])


def joules_between(ticks: Sequence[Tick], start: float, end: float) -> tuple[float, float] | None:
    """Energy between two moments, and how far the counter's truth may lie from it.

    What the power did between an edge and the ticks around it is unknown: the estimate takes it as even,
    the bound as whatever would make the estimate most wrong.

    Args:
        ticks: The counter's movements, oldest first.
        start: A moment not before the first tick.
        end: A later moment, not after the last tick.

    Returns:
        Joules and bound; None if the ticks do not enclose both moments.
    """
    if len(ticks) < 2 or start < ticks[0].seconds or end > ticks[-1].seconds:
        return None
    (first, doubt_first), (last, doubt_last) = (_standing(ticks, moment) for moment in (start, end))
    return last - first, doubt_first + doubt_last


def _standing(ticks: Sequence[Tick], moment: float) -> tuple[float, float]:
    """Where a steady counter would stand at a moment, and the doubt about it, both in joules."""
    after = min(bisect.bisect_right([tick.seconds for tick in ticks], moment), len(ticks) - 1)
    before, then = ticks[after - 1], ticks[after]
    gap, energy = then.seconds - before.seconds, then.joules - before.joules
    share = (moment - before.seconds) / gap
    inside = max(share, 1 - share) if 0 < share < 1 else 0.0
    late = max(before.late_seconds, then.late_seconds) / gap
    return before.joules + share * energy, energy * min(1.0, inside + late)


def watts(ticks: Sequence[Tick]) -> float | None:
    """Mean power: the slope of energy against time; None for fewer than three ticks."""
    if len(ticks) < LEAST_TICKS:
        return None
    return slope([tick.seconds for tick in ticks], [tick.joules for tick in ticks])


def slope(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Slope of the least-squares line of y over x; None if all x are the same."""
    mean_x, mean_y = math.fsum(x) / len(x), math.fsum(y) / len(y)
    spread = math.fsum((value - mean_x) ** 2 for value in x)
    if spread == 0:
        return None
    return math.fsum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread

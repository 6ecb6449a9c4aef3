"""Loads and late clocks in the simulator's virtual time, for judging estimators by the thousand."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter
from greenadapt.meters.clocks import Clock
from greenadapt.meters.ticks import Follower, Tick
from greenadapt.meters.whole_calls import Counted
from tests.simulator import Board, Simulator


class LateClock:
    """A clock whose sleeps end late, as a thread's do: mostly a tenth of a millisecond, now and then five."""

    def __init__(self, clock: Clock, draw: random.Random, seldom: float = 0.02) -> None:
        self._clock = clock
        self._draw = draw
        self._seldom = seldom

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        late = self._draw.uniform(5e-5, 2e-4)
        if self._draw.random() < self._seldom:
            late += self._draw.uniform(0, 0.005)
        self._clock.sleep(max(0.0, seconds) + late)


def lengths(draw: random.Random, call_seconds: float, jitter: float, seconds: float) -> list[float]:
    """Lengths of calls that fill a time, each off by that fraction (one sigma)."""
    count = int(1.2 * seconds / call_seconds) + 3
    return [call_seconds * max(0.3, 1 + jitter * draw.gauss(0, 1)) for _ in range(count)]


def run_load(
    simulator: Simulator, board: Board, calls: Sequence[float], shape: Sequence[tuple[float, float]]
) -> list[float]:
    """Plans the power of calls from now on; returns when the first begins and when each is done.

    Args:
        simulator: In virtual time.
        board: Where they run.
        calls: Length of each.
        shape: Pairs (share of a call, watts) that make up a call.
    """
    boundaries = [0.0, *itertools.accumulate(calls)]
    points = []
    for begin, length in zip(boundaries, calls, strict=False):
        share_before = 0.0
        for share, watts in shape:
            points.append((begin + share_before * length, watts))
            share_before += share
    now = simulator.now()
    board.trace(points)
    return [now + moment for moment in boundaries]


def error_of(board: Board, counted: Counted, boundaries: Sequence[float]) -> float:
    """Relative error of one counter's joules against the oracle, for the calls that were counted."""
    truth = board.joules(boundaries[counted.first], boundaries[counted.last])
    return counted.joules[0] / truth - 1


def quantile(errors: Sequence[float], share: float) -> float:
    """The quantile of the absolute errors."""
    return sorted(abs(error) for error in errors)[int(share * (len(errors) - 1))]


class VirtualRecorder:
    """`greenadapt.meters.recorders.TickRecorder` without a thread: it looks while virtual time passes."""

    def __init__(self, meter: Meter, period_seconds: float, clock: Clock) -> None:
        self.ticks: list[Tick] = []
        self.error: MeasurementError | None = None
        self._meter = meter
        self._clock = clock
        self._follower = Follower(period_seconds, seed=0)

    def __enter__(self) -> VirtualRecorder:
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def period_seconds(self) -> float:
        return self._follower.period_seconds or 0.0

    def look(self) -> float:
        before = self._clock.now()
        joules = self._meter.read()
        tick = self._follower.seen(before, joules, self._clock.now())
        if tick is not None:
            self.ticks.append(tick)
        return joules

    def hurry(self) -> None:
        self._follower.hurry(self._clock.now())

    def wait_for(self, ready: Callable[[list[Tick]], bool], patience_seconds: float) -> bool:
        end = self._clock.now() + patience_seconds
        while not ready(self.ticks) and self._clock.now() < end:
            self._clock.sleep(self._follower.due - self._clock.now())
            self.look()
        return ready(self.ticks)

    def run_until(self, moment: float) -> None:
        """Follows the counter up to that moment."""
        while self._clock.now() < moment:
            if self._follower.due >= moment:
                self._clock.sleep(moment - self._clock.now())
                return
            self._clock.sleep(self._follower.due - self._clock.now())
            self.look()


def random_trace(draw: random.Random, seconds: float) -> list[tuple[float, float]]:
    """Steps of 2 to 500 ms between 20 and 400 W."""
    points, moment = [], 0.0
    while moment < seconds:
        points.append((moment, draw.uniform(20, 400)))
        moment += 0.002 * 250 ** draw.random()
    return points


def decay(draw: random.Random, start: float, watts: float) -> list[tuple[float, float]]:
    """Power that falls towards idle after a block, in steps of 10 ms."""
    idle, fade = draw.uniform(20, 80), draw.uniform(0.02, 0.6)
    return [(start + 0.01 * k, idle + (watts - idle) * math.exp(-0.01 * k / fade)) for k in range(300)]

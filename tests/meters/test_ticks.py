"""Following a counter, in virtual time: a step function that moves every period."""

from __future__ import annotations

import itertools
import math
import random
import statistics
import threading
import time

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.recorders import TickRecorder, watch
from greenadapt.meters.replay import ReplayMeter
from greenadapt.meters.ticks import Follower, Tick
from tests.meters.virtual import LateClock


class StandingClock:
    """Virtual time that passes only when slept through."""

    def __init__(self) -> None:
        self.moment = 50.0

    def now(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += max(0.0, seconds)


class Staircase:
    """A counter that gains a joule at every tick; ticks may stray from their grid."""

    def __init__(self, clock: StandingClock, period: float, stray: float = 0.0) -> None:
        self.info = MeterInfo("staircase", "measured", "gpu", period)
        self.clock, self.period, self.reads = clock, period, 0
        draw = random.Random(5)
        self.stray = [stray * draw.gauss(0, 1) for _ in range(20000)]

    def read(self) -> float:
        self.reads += 1
        number = int(self.clock.now() / self.period)
        return max(k for k in (number - 1, number, number + 1) if self.at(k) <= self.clock.now()) + 0.0

    def at(self, number: float) -> float:
        return number * self.period + self.stray[int(number) % 20000]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("period", [0.01, 0.02, 0.1, 0.5])
def test_few_looks_find_the_ticks_to_a_fraction_of_a_millisecond(period):
    clock = StandingClock()
    meter = Staircase(clock, period)
    ticks = watch(meter, 1.004 * period, 30.0, LateClock(clock, random.Random(1)))
    expected = min(10.0, 1 / period) * 30
    assert 0.9 * expected <= len(ticks) <= 1.3 * expected
    assert meter.reads <= 4.5 * expected + 60
    assert all(abs(tick.seconds - meter.at(tick.joules)) <= tick.doubt_seconds + 1e-9 for tick in ticks)
    assert statistics.median(tick.doubt_seconds for tick in ticks[10:]) < 0.0005


def test_a_tick_that_strays_is_still_enclosed():
    clock = StandingClock()
    meter = Staircase(clock, 0.1, stray=0.0015)
    ticks = watch(meter, 0.1, 30.0, LateClock(clock, random.Random(1), seldom=0.1))
    assert len(ticks) > 200
    assert all(abs(tick.seconds - meter.at(tick.joules)) <= tick.doubt_seconds + 1e-9 for tick in ticks)


@pytest.mark.parametrize(("believed", "true"), [(0.02, 0.1), (0.5, 0.1), (0.1, 0.02), (0.1, 0.11)])
def test_a_wrong_belief_about_the_period_is_mended(believed, true):
    clock = StandingClock()
    meter, follower = Staircase(clock, true), Follower(believed, ticks_per_second=1000)
    late, found = LateClock(clock, random.Random(2)), []
    while clock.now() < 80:
        before = clock.now()
        tick = follower.seen(before, meter.read(), clock.now())
        found += [tick] if tick is not None else []
        late.sleep(follower.due - clock.now())
    assert len(found) > 100
    share = follower.period_seconds / true
    assert share == pytest.approx(max(1, round(share)), rel=0.01)
    assert meter.reads < 30 * 200


def test_short_periods_are_followed_at_random_distances():
    clock = StandingClock()
    ticks = watch(Staircase(clock, 0.01), 0.01, 20.0, clock)
    distances = {round(b.joules - a.joules) for a, b in itertools.pairwise(ticks[5:])}
    assert len(distances) >= 4
    assert all(2 <= distance <= 40 for distance in distances)


def test_hurry_follows_every_tick():
    clock = StandingClock()
    meter, follower, found = Staircase(clock, 0.01), Follower(0.01), []
    while clock.now() < 53:
        if clock.now() >= 52 and not found:
            follower.hurry(clock.now())
        tick = follower.seen(clock.now(), meter.read(), clock.now())
        found += [tick] if tick is not None and clock.now() > 52 else []
        clock.sleep(follower.due - clock.now())
    assert len(found) > 80


def test_a_counter_that_stands_still_is_looked_at_ever_less():
    clock = StandingClock()
    meter = Staircase(clock, 0.1)
    watch(meter, 0.1, 5.0, clock)
    meter.read = lambda: setattr(meter, "reads", meter.reads + 1) or 7000.0
    meter.reads = 0
    watch(meter, 0.1, 60.0, clock)
    assert meter.reads < 60 * 600


class Series:
    def __init__(self, *readings: float | Exception) -> None:
        self.info = MeterInfo("series", "measured", "gpu", 0.01)
        self.readings = list(readings)

    def read(self) -> float:
        reading = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(reading, Exception):
            raise reading
        return reading

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (1.0, "backwards"),
        (math.nan, "backwards"),
        (KeyError("theirs"), "KeyError"),
        (MeasurementError("The counter is gone."), "gone"),
    ],
)
def test_what_spoils_a_recording_ends_it_with_a_reason(bad, words):
    with TickRecorder(Series(2.0, 3.0, 3.0, bad), 0.01) as recorder:
        assert not recorder.wait_for(lambda ticks: len(ticks) > 50, 5.0)
    assert words in str(recorder.error)
    with pytest.raises(MeasurementError, match=words):
        recorder.look()
    with pytest.raises(MeasurementError, match=words):
        recorder.check()


def test_the_recorder_sees_the_counter_move():
    meter = ReplayMeter([(0.03 * k, 1.5 * k) for k in range(400)])
    with TickRecorder(meter, 0.03) as recorder:
        assert recorder.wait_for(lambda ticks: len(ticks) >= 8, 10.0)
    assert recorder.error is None
    assert recorder.period_seconds == pytest.approx(0.03, rel=0.2)


def test_a_long_recording_keeps_both_ends_and_its_size():
    follower_ticks = [Tick(0.1 * k, float(k)) for k in range(9000)]
    recorder = TickRecorder(Series(0.0), 0.1)
    for tick in follower_ticks:
        recorder._add(tick)
    assert len(recorder.ticks) <= 4096
    assert recorder.ticks[:100] == follower_ticks[:100]
    assert recorder.ticks[-100:] == follower_ticks[-100:]
    assert recorder.ticks == sorted(recorder.ticks, key=lambda tick: tick.seconds)


def test_a_meter_that_hangs_does_not_hang_the_program(monkeypatch):
    monkeypatch.setattr("greenadapt.meters.recorders._PATIENCE_SECONDS", 0.2)
    hang, meter = threading.Event(), Series(1.0)
    meter.read = lambda: hang.wait(30) and 1.0
    start = time.perf_counter()
    with TickRecorder(meter, 0.01) as recorder:
        time.sleep(0.05)
        with pytest.raises(MeasurementError, match="does not answer"):
            recorder.look()
    hang.set()
    assert time.perf_counter() - start < 10

"""The estimators against a counter whose true energy is known."""

from __future__ import annotations

import math
import random
import time

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.replay import ReplayMeter
from greenadapt.meters.ticks import (
    Tick,
    TickRecorder,
    calls_done,
    joules_between,
    joules_per_call,
    period,
    watts,
)

PERIOD = 0.1


def true_energy(seconds: float) -> float:
    """Joules of a square wave of 37 ms: 300 W for 40 % of the time, else 60 W."""
    whole, rest = divmod(seconds, 0.037)
    high = 0.4 * 0.037
    return whole * (0.4 * 0.037 * 300 + 0.6 * 0.037 * 60) + min(rest, high) * 300 + max(0, rest - high) * 60


def counter(phase: float, end: float) -> list[Tick]:
    first = math.ceil(-phase / PERIOD)
    moments = [phase + PERIOD * k for k in range(first, int(end / PERIOD) + 2)]
    return [Tick(moment, true_energy(moment)) for moment in moments if moment >= 0]


@pytest.mark.parametrize("call_seconds", [0.003, 0.0111, 0.037])
def test_the_slope_beats_the_edges(call_seconds):
    draw = random.Random(1)
    slopes, edges = [], []
    for _ in range(200):
        ticks = counter(draw.uniform(0, PERIOD), 3.0)
        start = draw.uniform(0.2, 0.5)
        completions = [start + call_seconds * k for k in range(int(2.0 / call_seconds))]
        truth = call_seconds * true_energy(37) / 37
        found = joules_per_call(ticks, completions)
        assert found is not None
        slopes.append(abs(found / truth - 1))
        read = [max(t.joules for t in ticks if t.seconds <= edge) for edge in (start, completions[-1])]
        edges.append(abs((read[1] - read[0]) / (len(completions) - 1) / truth - 1))
    assert sorted(slopes)[190] < 0.005
    assert sorted(edges)[190] > 2 * sorted(slopes)[190]


def test_too_few_ticks_are_no_number():
    ticks = [Tick(0.1, 1.0), Tick(0.2, 2.0), Tick(0.3, 3.0)]
    assert joules_per_call(ticks, [0.05, 0.25]) is None
    assert joules_per_call(ticks, []) is None
    assert watts(ticks[:2]) is None
    assert period(ticks[:2]) is None


def test_calls_done_counts_the_share_of_the_running_one():
    assert calls_done([1.0, 2.0, 4.0], 3.0) == pytest.approx(2.5)
    assert calls_done([1.0, 2.0, 4.0], 2.0) == pytest.approx(2.0)


def test_the_bound_of_a_window_holds():
    draw = random.Random(2)
    for _ in range(1000):
        ticks = counter(draw.uniform(0, PERIOD), 3.0)
        start = draw.uniform(ticks[0].seconds, 0.4)
        end = start + draw.uniform(0.3, 2.0)
        found = joules_between(ticks, start, end)
        assert found is not None
        joules, bound = found
        assert abs(joules - (true_energy(end) - true_energy(start))) <= bound
        assert bound <= 2 * 300 * PERIOD


def test_a_window_that_starts_at_a_tick_knows_its_start():
    ticks = [Tick(0.0, 0.0), Tick(0.1, 10.0), Tick(0.2, 20.0), Tick(0.3, 40.0)]
    assert joules_between(ticks, 0.1, 0.2) == pytest.approx((10.0, 0.0))
    assert joules_between(ticks, 0.1, 0.225) == pytest.approx((15.0, 15.0))
    assert joules_between(ticks, 0.1, 0.31) is None
    late = [*ticks[:3], Tick(0.3, 40.0, late_seconds=0.02)]
    widened = joules_between(late, 0.1, 0.225)
    assert widened is not None
    assert widened[1] == pytest.approx(19.0)


def test_the_recorder_sees_the_counter_move():
    meter = ReplayMeter([(0.03 * k, 1.5 * k) for k in range(100)])
    with TickRecorder(meter, 0.001) as recorder:
        assert recorder.wait_for_tick(1.0)
        time.sleep(0.4)
    gaps = period(recorder.ticks)
    assert gaps == pytest.approx(0.03, rel=0.3)
    assert watts(recorder.ticks) == pytest.approx(50, rel=0.1)
    assert recorder.error is None


def test_a_meter_that_fails_ends_the_recording_with_a_reason():
    meter = ReplayMeter([(0.0, 0.0), (0.05, 1.0)])
    with TickRecorder(meter, 0.001) as recorder:
        assert not recorder.wait_for_tick(0.01) or recorder.ticks
        time.sleep(0.15)
    assert isinstance(recorder.error, MeasurementError)


def test_period_of_a_recording():
    assert ReplayMeter([(0.02 * k, k) for k in range(10)]).info.period_seconds == pytest.approx(0.02)
    assert ReplayMeter([(0.0, 1.0)]).info == MeterInfo(
        "replay", "measured", "gpu", None, note="replayed from a recording"
    )

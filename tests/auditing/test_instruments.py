from __future__ import annotations

import time

import pytest

from greenadapt.auditing.instruments import Instrument, open_instrument
from greenadapt.errors import MeasurementError, OptionError
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.replay import ReplayMeter


def ten_watts(step_seconds: float, seconds: float = 60.0) -> ReplayMeter:
    return ReplayMeter(
        [(step_seconds * k, 10 * step_seconds * k) for k in range(int(seconds / step_seconds))]
    )


def nap() -> None:
    time.sleep(0.004)


def test_a_counter_that_moves_often_is_read_at_the_edges():
    instrument = Instrument(ten_watts(0.0005), "cpu")
    assert instrument.estimator == "difference"
    found = instrument.stretch(nap, 0.3)
    assert found.joules == pytest.approx(10 * found.seconds, rel=0.05)
    assert found.seconds >= 0.3
    assert 10 < found.calls <= 75
    assert instrument.idle_watts(0.2) == pytest.approx(10, rel=0.05)


def test_a_counter_that_moves_slowly_is_read_by_its_ticks():
    instrument = Instrument(ten_watts(0.03), "cpu")
    assert instrument.estimator == "slope at ticks"
    found = instrument.stretch(nap, 1.0)
    assert found.joules == pytest.approx(10 * found.seconds, rel=0.1)
    assert instrument.idle_watts(0.8) == pytest.approx(10, rel=0.1)


def test_too_short_for_a_slow_counter_is_unknown_not_zero():
    found = Instrument(ten_watts(0.2), "cpu").stretch(nap, 0.1)
    assert found.joules is None
    assert "Too short" in (found.why_not or "")
    assert found.calls > 1


@pytest.mark.parametrize("step_seconds", [0.0005, 0.02])
def test_a_meter_that_fails_is_unknown_with_a_reason(step_seconds):
    found = Instrument(ten_watts(step_seconds, seconds=0.1), "cpu").stretch(nap, 0.3)
    assert found.joules is None
    assert "recording is over" in (found.why_not or "")
    assert found.seconds >= 0.3


def test_without_a_meter_there_is_time_but_no_energy():
    instrument = Instrument(None, "cpu", "No meter was wanted.")
    assert (instrument.info, instrument.estimator, instrument.idle_watts(1)) == (None, None, None)
    found = instrument.stretch(nap, 0.02)
    assert (found.joules, found.why_not) == (None, "No meter was wanted.")


def test_a_call_longer_than_the_stretch_is_finished():
    found = Instrument(None, "cpu").stretch(lambda: time.sleep(0.1), 0.01)
    assert found.calls == 1
    assert found.seconds >= 0.1


def test_an_estimate_has_no_idle_power():
    meter = ReplayMeter([(0.0, 0.0), (60.0, 1.0)], kind="estimated")
    assert Instrument(meter, "cpu").idle_watts(0.01) is None


class Finder:
    """A meter that finds its period when asked, as nvml's does."""

    def __init__(self) -> None:
        self.info = MeterInfo("finder", "measured", "gpu", period_seconds=0.5)
        self.calls_before = 0

    def read(self) -> float:
        return 0.0

    def find_period(self, seconds: float) -> float:
        time.sleep(0.05)
        self.info = MeterInfo("finder", "measured", "gpu", period_seconds=0.1)
        return 0.1

    def close(self) -> None:
        self.calls_before = -1


def test_the_period_is_found_while_the_device_works():
    calls, meter = [], Finder()
    instrument = Instrument(meter, "cpu")
    instrument.find_period(lambda: calls.append(time.sleep(0.01)))
    assert instrument.slow_period_seconds == 0.1
    assert len(calls) > 1


def test_auto_falls_back_and_says_what_it_tried():
    instrument = open_instrument("auto", "cpu")
    assert instrument.info is not None
    assert instrument.info.name != "replay"
    if instrument.info.kind == "estimated":
        assert "rapl:" in (instrument.why_not or "")
    instrument.close()


def test_names_are_looked_up():
    assert open_instrument("none", "cpu").meter is None
    with pytest.raises(OptionError, match="codecarbon"):
        open_instrument("codecarbom", "cpu")
    with pytest.raises(MeasurementError):
        open_instrument("nvml", "cpu")

from __future__ import annotations

import time

import pytest

from greenadapt.auditing.instruments import Instrument, Stretch, open_instrument
from greenadapt.errors import MeasurementError, OptionError
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.replay import ReplayMeter
from tests.simulator import Board, Simulator

COUNTER = "nvmlDeviceGetTotalEnergyConsumption"


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


def test_idle_power_of_a_slow_counter_is_looked_at_for_twenty_movements():
    start = time.perf_counter()
    assert Instrument(ten_watts(0.1), "cpu").idle_watts(0.1) == pytest.approx(10, rel=0.02)
    assert time.perf_counter() - start >= 2


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


def call_on(*boards: Board, high: float = 300.0):
    """A call of 17 ms that keeps the boards at work for 7 of them."""

    def call() -> None:
        for board in boards:
            board.power(high)
        time.sleep(0.007)
        for board in boards:
            board.power(60)
        time.sleep(0.010)

    return call


def truth(stretch: Stretch, *boards: Board) -> float:
    assert stretch.started is not None
    return sum(board.joules(stretch.started, stretch.started + stretch.seconds) for board in boards)


@pytest.mark.parametrize("period", [0.02, 0.1])
def test_the_counted_calls_are_those_whose_joules_are_told(simulator, period):
    board = simulator.board(0)
    board.configure(update_seconds=period, phase=0.2)
    instrument = open_instrument("nvml:0", "cpu")
    found = instrument.stretch(call_on(board), 1.0)
    instrument.close()
    assert found.seconds >= 1.0
    assert found.joules == pytest.approx(truth(found, board), rel=0.01)
    assert found.boards == {board.uuid: found.joules}
    assert found.standard_error is not None
    assert 0 < found.standard_error < 0.02 * found.joules


def test_several_boards_count_the_same_calls():
    with Simulator.start(boards=3) as simulator:
        fast, slow, old = simulator.boards
        fast.configure(update_seconds=0.02)
        old.configure(counter=False)
        instrument = open_instrument("nvml:all", "cpu")
        found = instrument.stretch(call_on(fast, slow), 1.0)
        instrument.find_period(call_on(fast))
        idle = instrument.idle_watts(0.5)
        instrument.close()
        for board, rel in ((fast, 0.01), (slow, 0.01), (old, 0.1)):
            assert found.boards[board.uuid] == pytest.approx(truth(found, board), rel=rel)
        assert found.joules == pytest.approx(sum(found.boards.values()))
        assert idle == pytest.approx(180, rel=0.1)


@pytest.mark.parametrize("what", ["reset", "failure"])
def test_what_happens_to_a_counter_midway_leaves_the_joules_unknown(simulator, what):
    board, calls = simulator.board(0), []

    def call() -> None:
        calls.append(time.sleep(0.01))
        if len(calls) == 20:
            board.reset_counter() if what == "reset" else board.fail(COUNTER, "GPU_IS_LOST", count=3)

    board.configure(update_seconds=0.03)
    instrument = open_instrument("nvml:0", "cpu")
    found = instrument.stretch(call, 0.5)
    instrument.close()
    assert found.joules is None
    assert ("backwards" if what == "reset" else "lost") in (found.why_not or "")


def test_a_call_longer_than_the_stretch_is_not_repeated_for_the_ticks(simulator):
    simulator.board(0).configure(update_seconds=0.02)
    instrument = open_instrument("nvml:0", "cpu")
    found = instrument.stretch(lambda: time.sleep(0.5), 0.1)
    instrument.close()
    assert found.calls == 1
    assert found.joules == pytest.approx(60 * found.seconds, rel=0.05)


def _share_of_a_core():
    """Of a second of following; whatever else goes on in this process, such as collecting garbage, adds."""
    instrument = open_instrument("nvml:0", "cpu")
    before, start = time.process_time(), time.perf_counter()
    instrument.stretch(lambda: time.sleep(0.25), 1.0)
    spent, took = time.process_time() - before, time.perf_counter() - start
    instrument.close()
    return spent / took


def test_following_a_counter_costs_less_than_a_hundredth_of_a_core(simulator):
    assert (
        min(_share_of_a_core() for _ in range(3)) < 0.02
    )  # with the sums at the end, and the calls themselves
    looks = simulator.calls(COUNTER)
    instrument = open_instrument("nvml:0", "cpu")
    opened = simulator.calls(COUNTER)
    instrument.stretch(lambda: time.sleep(0.25), 1.0)
    instrument.close()
    assert opened > looks
    assert simulator.calls(COUNTER) - opened < 60 * 1.8 + 60

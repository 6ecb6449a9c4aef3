"""Windows against the simulator's oracle: many in virtual time, threads and failures in real time."""

from __future__ import annotations

import random
import statistics
import threading
import time

import pynvml
import pytest

from greenadapt import window
from greenadapt.auditing.window_parts import PartWindow
from greenadapt.errors import MeasurementError
from greenadapt.meters.nvml import NvmlMeter
from tests.meters.virtual import LateClock, VirtualRecorder, decay, random_trace
from tests.simulator import Simulator

COUNTER = "nvmlDeviceGetTotalEnergyConsumption"


def burst(draw: random.Random) -> tuple[float, float, float] | None:
    """One window around an arbitrary burst: error over bound, bound over U/W of the energy, error."""
    with Simulator.start(virtual=True) as simulator:
        board, period = simulator.board(0), draw.choice([0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
        board.configure(update_seconds=period, phase=draw.random())
        board.power(draw.uniform(60, 300))
        clock = LateClock(simulator.clock(), draw)
        meter = NvmlMeter(board.uuid, clock)
        recorder = VirtualRecorder(meter, meter.info.period_seconds, clock)
        part, length = PartWindow(meter, recorder), draw.uniform(0.3, 5)
        board.trace(random_trace(draw, 2))
        part.begin()
        part.wait()
        simulator.advance(draw.choice([5e-5, 5e-4, 0.003]))
        start = simulator.now()
        inside = random_trace(draw, length) if draw.random() < 0.7 else [(0.0, draw.uniform(50, 400))]
        outside = [(length + moment, watts) for moment, watts in random_trace(draw, 3)]
        after = decay(draw, length, inside[-1][1]) if draw.random() < 0.5 else outside
        board.trace([*(point for point in inside if point[0] < length), *after])
        recorder.run_until(start + length)
        part.look()
        end = simulator.now()
        reading = part.settle(start, end)
        meter.close()
        if reading.joules is None:
            assert length < 3.6 * period
            return None
        error = abs(reading.joules - board.joules(start, end))
        width = reading.bound / reading.joules / (period / length)
        return error / reading.bound, width, error / reading.joules


def test_the_truth_lies_inside_the_bound(simulator):
    draw = random.Random(7)
    found = [each for each in (burst(draw) for _ in range(120)) if each is not None]
    assert len(found) > 90
    assert sum(share <= 1 for share, _, _ in found) >= 0.99 * len(found)
    assert statistics.median(width for _, width, _ in found) <= 2
    assert statistics.median(error for _, _, error in found) < 0.02


def test_a_window_knows_its_board_and_its_energy(simulator):
    board = simulator.board(0)
    board.configure(update_seconds=0.05)
    with window(meter="nvml:0", device="cpu") as w:
        board.power(300)
        time.sleep(0.5)
        board.power(60)
    assert w.joules is not None
    assert abs(w.joules - board.joules(w.started, w.started + w.seconds)) <= w.bound
    assert w.bound < 0.5 * w.joules
    assert w.boards == {board.uuid: w.joules}
    assert (w.kind, w.meter, w.shared, w.systematic_fraction) == ("measured", "nvml", False, 0.05)
    assert w.period_seconds == pytest.approx(0.05, rel=0.1)


def test_the_bound_holds_for_windows_one_after_the_other(simulator):
    board = simulator.board(0)
    board.configure(update_seconds=0.02)
    board.square(40, 350, 0.11)
    for length in (0.1, 0.2, 0.33):
        with window(meter="nvml:0", device="cpu") as w:
            time.sleep(length)
        assert w.joules is not None
        assert abs(w.joules - board.joules(w.started, w.started + w.seconds)) <= w.bound


def test_several_boards_are_summed_or_nothing_is():
    with Simulator.start(boards=2) as simulator:
        first, second = simulator.boards
        second.configure(update_seconds=0.03)
        second.power(200)
        with window(meter="nvml:all", device="cpu") as w:
            time.sleep(0.6)
        truths = {board.uuid: board.joules(w.started, w.started + w.seconds) for board in simulator.boards}
        assert w.joules == pytest.approx(sum(w.boards.values()))
        assert abs(w.joules - sum(truths.values())) <= w.bound
        assert set(w.boards) == set(truths)
        with window(meter="nvml:all", device="cpu") as w:
            time.sleep(0.2)
            second.fail(COUNTER, "GPU_IS_LOST")
            time.sleep(0.3)
        assert (w.joules, w.bound, w.boards) == (None, None, {})
        assert second.uuid in w.why_not
        assert "lost" in w.why_not
        assert first.uuid not in w.why_not


@pytest.mark.parametrize("when", ["inside", "after"])
def test_a_reset_is_noticed(simulator, when):
    board = simulator.board(0)
    board.configure(update_seconds=0.05)
    with window(meter="nvml:0", device="cpu") as w:
        time.sleep(0.2)
        board.reset_counter(at=None if when == "inside" else time.perf_counter() + 0.22)
        time.sleep(0.2)
    assert w.joules is None
    assert "backwards" in w.why_not


def test_fewer_than_three_ticks_are_no_number(simulator):
    simulator.board(0).configure(update_seconds=0.3)
    with window(meter="nvml:0", device="cpu") as w:
        time.sleep(0.4)
    assert w.joules is None
    assert "3 movements are needed" in w.why_not


def test_an_error_of_the_block_passes_and_the_window_still_reports(simulator):
    simulator.board(0).configure(update_seconds=0.02)
    with pytest.raises(ZeroDivisionError), window(meter="nvml:0", device="cpu") as w:  # noqa: PT012
        time.sleep(0.2)
        raise ZeroDivisionError
    assert w.joules is not None


def test_a_meter_that_fails_while_opening_is_an_error_on_entry(simulator):
    simulator.fail(COUNTER, "UNKNOWN")
    with pytest.raises(MeasurementError), window(meter="nvml:0", device="cpu"):
        pass


def test_windows_nest_without_being_shared(simulator):
    board = simulator.board(0)
    board.configure(update_seconds=0.02)
    with window(meter="nvml:0", device="cpu") as outer:
        time.sleep(0.1)
        with window(meter="nvml:0", device="cpu") as inner:
            time.sleep(0.2)
    for w in (outer, inner):
        assert w.joules is not None
        assert abs(w.joules - board.joules(w.started, w.started + w.seconds)) <= w.bound
        assert not w.shared
    assert outer.joules > inner.joules
    (note,) = [note for note in outer.notes if "inner windows waited" in note]
    waited = float(note.split()[2])
    assert waited == pytest.approx(outer.seconds - inner.seconds - 0.1, abs=0.1)
    assert not [note for note in inner.notes if "waited" in note]


def test_windows_of_other_threads_are_not_inner_ones(simulator):
    simulator.board(0).configure(update_seconds=0.02)
    with window(meter="nvml:0", device="cpu") as w:
        thread, _ = in_another_thread("nvml:0", 0.1)
        thread.join()
    assert not [note for note in w.notes if "waited" in note]


def test_an_interrupt_while_leaving_passes_and_leaves_nothing_running(simulator):
    simulator.board(0).configure(update_seconds=0.5)
    with pytest.raises(KeyboardInterrupt), window(meter="nvml:0", device="cpu") as w:  # noqa: PT012
        time.sleep(1.8)
        w._parts[0].settle = interrupted
    assert (w.joules, w.bound, w.kind) == (None, None, None)
    assert "interrupted (KeyboardInterrupt)" in w.why_not
    assert w.seconds >= 1.8
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("greenadapt")]
    assert w._instrument.meter._library is None


def interrupted(start: float, end: float) -> None:
    raise KeyboardInterrupt


def test_a_driver_that_hangs_does_not_hang_the_program(simulator, monkeypatch):
    for module in ("recorders", "nvml"):
        monkeypatch.setattr(f"greenadapt.meters.{module}._PATIENCE_SECONDS", 0.2)
    board = simulator.board(0)
    board.configure(update_seconds=0.05)
    with window(meter="nvml:0", device="cpu") as w:
        time.sleep(0.3)
        board.configure(latency_seconds=4)
        time.sleep(0.3)
        start = time.perf_counter()
    assert time.perf_counter() - start < 3
    assert w.joules is None
    assert "does not answer" in w.why_not
    for thread in threading.enumerate():
        if thread.name == "greenadapt-ticks":
            thread.join()
    pynvml.nvmlShutdown()


def in_another_thread(meter: str, seconds: float) -> tuple[threading.Thread, list]:
    opened, done = threading.Event(), []

    def work() -> None:
        with window(meter=meter, device="cpu") as w:
            opened.set()
            time.sleep(seconds)
        done.append(w)

    thread = threading.Thread(target=work)
    thread.start()
    assert opened.wait(20)
    return thread, done


@pytest.mark.parametrize(("other", "shared"), [("nvml:0", True), ("nvml:all", True), ("nvml:1", False)])
def test_windows_of_several_threads_on_one_board_say_so(other, shared):
    with Simulator.start(boards=2) as simulator:
        for board in simulator.boards:
            board.configure(update_seconds=0.02)
        thread, done = in_another_thread(other, 1.5)
        with window(meter="nvml:0", device="cpu") as w:
            time.sleep(0.1)
        thread.join()
        for each in (w, *done):
            assert each.shared is shared
            assert any("overlap" in note for note in each.notes) is shared
        with window(meter="nvml:0", device="cpu") as later:
            time.sleep(0.1)
        assert not later.shared


def test_threads_that_follow_each_other_do_not_share(simulator):
    simulator.board(0).configure(update_seconds=0.02)
    thread, done = in_another_thread("nvml:0", 0.1)
    thread.join()
    with window(meter="nvml:0", device="cpu") as w:
        time.sleep(0.1)
    assert not w.shared
    assert not done[0].shared


def test_nothing_is_left_running(simulator):
    simulator.board(0).configure(update_seconds=0.02)
    for action in (time.sleep, lambda _: simulator.board(0).fail(COUNTER, "UNKNOWN")):
        with window(meter="nvml:0", device="cpu"):
            action(0.1)
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith("greenadapt")]


class Hostile:
    """A meter that does what no meter may."""

    def __init__(self, info, error: Exception) -> None:
        self.info, self.error, self.angry = info, error, False

    def read(self) -> float:
        if self.angry:
            raise self.error
        return time.perf_counter()

    def close(self) -> None:
        if self.angry:
            raise self.error


@pytest.mark.parametrize("period", [None, 0.02])
def test_leaving_never_raises_whatever_the_meter_does(monkeypatch, period):
    from greenadapt.interfaces import MeterInfo

    meter = Hostile(MeterInfo("hostile", "measured", "gpu", period), OSError("no such device"))

    class Factory:
        def open(self, device: str) -> Hostile:
            return meter

    monkeypatch.setattr("greenadapt.plugins.meter", lambda name: Factory())
    with window(meter="hostile", device="cpu") as w:
        time.sleep(0.05)
        meter.angry = True
    assert w.joules is None
    assert "no such device" in w.why_not
    assert any("could not be closed" in note for note in w.notes)
    assert w.seconds >= 0.05

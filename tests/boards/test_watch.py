"""What a watch sees; what is injected and how it is judged is in tests/bench/faults.py."""

from __future__ import annotations

import os
import threading
import time

import pynvml
import pytest

from greenadapt.boards import Watch
from tests.simulator import Simulator


def looks(machine: Simulator, watch: Watch, count: int, seconds: float = 0.5) -> None:
    for _ in range(count):
        machine.advance(seconds)
        watch.look()


@pytest.fixture
def machine(simulator: Simulator) -> Simulator:
    """Two boards in virtual time."""
    return Simulator.start(boards=2, virtual=True)


def test_each_board_has_a_report_of_its_own(machine):
    busy, quiet = machine.boards
    busy.power(300.0)
    busy.processes([os.getpid(), 4_000_000])
    quiet.configure(ecc=False, persistence=False, compute_mode=3)
    quiet.temperature(61.0)
    machine.advance(1.0)
    with Watch([busy.uuid, quiet.uuid], every_seconds=0, now=machine.now) as watch:
        looks(machine, watch, 60)
    first, second = watch.reports()
    assert (first.uuid, second.uuid) == (busy.uuid, quiet.uuid)
    assert (first.looks, first.seconds) == (62, pytest.approx(30.0))
    assert (first.other_processes, second.other_processes) == (1, 0)
    assert first.powers is not None
    assert first.powers.polled_watts == pytest.approx(300.0)
    assert first.powers.counter_watts == pytest.approx(300.0, rel=0.01)
    assert first.powers.disagreement == pytest.approx(0.0, abs=0.01)
    assert second.powers is not None
    assert second.powers.counter_watts == pytest.approx(60.0, rel=0.01)
    assert (first.ecc, first.persistence, first.compute_mode, first.mig) == (True, True, 0, False)
    assert (second.ecc, second.persistence, second.compute_mode) == (False, False, 3)
    assert (second.temperature_first, second.temperature_last, second.temperature_motion) == (61.0, 61.0, 0.0)
    assert first.power_limits == (700.0,)
    assert first.counter_resets == 0


def test_a_thread_looks_by_itself(simulator):
    with Watch([simulator.board(0).uuid], every_seconds=0.02) as watch:
        end = time.perf_counter() + 30
        while watch.reports()[0].looks < 10 and time.perf_counter() < end:
            time.sleep(0.02)
    report = watch.reports()[0]
    assert report.looks >= 10
    assert report.seconds > 0
    assert report.problems == ()
    assert simulator.calls("nvmlDeviceGetPowerUsage") == report.looks


def test_after_the_end_nothing_looks_any_more(simulator):
    with Watch([simulator.board(0).uuid], every_seconds=0.01) as watch:
        time.sleep(0.1)
    asked = simulator.calls("nvmlDeviceGetPowerUsage")
    time.sleep(0.1)
    assert simulator.calls("nvmlDeviceGetPowerUsage") == asked
    watch.look()
    assert simulator.calls("nvmlDeviceGetPowerUsage") == asked


def test_looks_cost_less_than_a_thousandth_of_a_core(simulator):
    with Watch([simulator.board(0).uuid], every_seconds=0) as watch:
        for _ in range(300):
            watch.look()
    # Twice a second; the library answers at once, a driver takes its time without using ours.
    assert 2 * watch.busy_seconds / watch.reports()[0].looks < 1e-3


def test_without_boards_there_is_nothing_to_report():
    with Watch([]) as watch:
        pass
    assert watch.reports() == []


def test_without_a_driver_the_report_says_so(simulator):
    simulator.stop()
    with Watch(["GPU-none"]) as watch:
        pass
    report = watch.reports()[0]
    assert report.looks == 0
    assert report.other_processes is None
    assert "not watched" in report.problems[0]


def test_an_error_inside_passes_and_the_thread_ends(simulator):
    with pytest.raises(ZeroDivisionError), Watch([simulator.board(0).uuid], every_seconds=0.01) as watch:
        _ = 1 / 0
    assert watch.reports()[0].looks >= 2


def test_a_thread_that_dies_is_heard_of(simulator):
    """The clock stands for whatever nobody thought of."""
    main = threading.current_thread()

    def clock() -> float:
        if threading.current_thread() is main:
            return time.perf_counter()
        raise OverflowError("no time left")

    with Watch([simulator.board(0).uuid], every_seconds=0.01, now=clock) as watch:
        end = time.perf_counter() + 30
        while not watch.reports()[0].problems and time.perf_counter() < end:
            time.sleep(0.01)
    assert "ended early: OverflowError: no time left" in watch.reports()[0].problems[0]


def test_networks_with_clocks_of_their_own_make_no_drift(machine):
    board = machine.board(0)
    with Watch([board.uuid], every_seconds=0, now=machine.now) as watch:
        for trial in range(12):
            # Unevenly many looks each, so that the plain mean of the last third differs from the first's.
            watch.running, clock = ("slow", 1200.0) if trial < 8 and trial % 2 else ("fast", 1980.0)
            board.clock(clock)
            looks(machine, watch, 10)
    report = watch.reports()[0]
    assert report.clock_drift == 0.0
    assert report.sm_clock_mhz is not None
    assert 1200 < report.sm_clock_mhz < 1980


def test_a_board_that_idles_between_trials_makes_no_drift(machine):
    board = machine.board(0)
    with Watch([board.uuid], every_seconds=0, now=machine.now) as watch:
        for look in range(90):
            idle = look < 30 and look % 2
            board.reasons(1 if idle else 0)
            board.clock(210.0 if idle else 1980.0)
            looks(machine, watch, 1)
    report = watch.reports()[0]
    assert (report.sm_clock_mhz, report.clock_drift) == (1980.0, 0.0)
    assert report.reasons == {"GpuIdle": 15}


def test_a_short_run_leaves_trends_unknown(machine):
    board = machine.board(0)
    with Watch([board.uuid], every_seconds=0, now=machine.now) as watch:
        looks(machine, watch, 5)
        board.clock(900.0)
    report = watch.reports()[0]
    assert report.clock_drift is None
    assert report.temperature_motion is None
    assert report.powers is None


def test_a_driver_with_the_old_name_of_event_reasons(machine):
    machine.fail("nvmlDeviceGetCurrentClocksEventReasons", "FUNCTION_NOT_FOUND")
    machine.board(0).reasons(8)
    with Watch([machine.board(0).uuid], every_seconds=0, now=machine.now) as watch:
        looks(machine, watch, 3)
    assert watch.reports()[0].reasons == {"HwSlowdown": 5}


def test_failures_that_are_alike_share_a_sentence(machine):
    with Watch([machine.board(0).uuid], every_seconds=0, now=machine.now) as watch:
        looks(machine, watch, 4)
        machine.fail("nvmlDeviceGetTemperature", "GPU_IS_LOST")
        machine.fail("nvmlDeviceGetPowerUsage", "GPU_IS_LOST")
        looks(machine, watch, 4)
    problems = watch.reports()[0].problems
    assert problems == (
        "5 of 10 times NVML did not tell its power, its temperature (first after 2.5 s): GPU is lost.",
    )


def test_a_driver_that_hangs_does_not_hang_the_program(simulator, monkeypatch):
    monkeypatch.setattr("greenadapt.boards.watch._PATIENCE_SECONDS", 0.2)
    board = simulator.board(0)
    with Watch([board.uuid], every_seconds=0.02) as watch:
        time.sleep(0.1)
        board.configure(latency_seconds=2)
        time.sleep(0.3)
        start = time.perf_counter()
    assert time.perf_counter() - start < 1.5
    assert any("left without its last look" in problem for problem in watch.reports()[0].problems)
    hanging = [thread for thread in threading.enumerate() if thread.name == "greenadapt-watch"]
    for thread in hanging:
        thread.join()
    pynvml.nvmlShutdown()

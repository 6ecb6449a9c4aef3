from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
import torch

from greenadapt.boards import start_nvml
from greenadapt.errors import MeasurementError
from greenadapt.meters.integrated import IntegratedMeter
from greenadapt.meters.nvml import BoardsMeter, NvmlMeter, factory
from greenadapt.testing import check_meter
from tests.simulator import Simulator

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
COUNTER = "nvmlDeviceGetTotalEnergyConsumption"


def test_a_cpu_is_no_board():
    assert "no NVIDIA board" in (factory.why_not("cpu") or "")
    with pytest.raises(MeasurementError, match="no NVIDIA board"):
        factory.open("cpu")


@no_gpu
def test_without_a_driver_it_says_what_to_do():
    assert "driver" in (factory.why_not("cuda:0") or "")
    with pytest.raises(MeasurementError, match="driver"):
        factory.open("cuda:0")


def test_one_board_keeps_the_contract(simulator):
    simulator.board(0).configure(update_seconds=0.05)
    meter = factory.open("0")
    assert meter.info.board == simulator.board(0).uuid
    assert meter.info.period_seconds == pytest.approx(0.05, rel=0.1)
    assert meter.info.systematic_fraction == 0.05
    check_meter(meter, break_it=lambda: simulator.board(0).fail(COUNTER, "GPU_IS_LOST"))


@pytest.mark.parametrize("period", [0.01, 0.02, 0.1, 0.5])
def test_the_period_is_found_within_ten_per_cent(simulator, period):
    simulator.board(0).configure(update_seconds=period, phase=0.3)
    meter = factory.open("0")
    assert meter.info.period_seconds == pytest.approx(period, rel=0.1)
    meter.close()


def test_slow_calls_do_not_spoil_the_period(simulator):
    simulator.board(0).configure(update_seconds=0.1, latency_seconds=0.004)
    meter = factory.open("0")
    assert meter.info.period_seconds == pytest.approx(0.1, rel=0.1)
    meter.close()


def test_joules_are_the_boards_own(simulator):
    simulator.virtual(True)
    board, meter = simulator.board(0), NvmlMeter(simulator.board(0).uuid, simulator.clock())
    start, before = simulator.now(), meter.read()
    board.power(250)
    simulator.advance(10)
    assert meter.read() - before == pytest.approx(board.joules(start, simulator.now()), abs=2 * 250 * 0.1)
    meter.close()


def test_several_boards_are_summed_and_kept_apart():
    with Simulator.start(boards=3) as simulator:
        boards = simulator.boards
        boards[0].configure(update_seconds=0.02)
        meter = factory.open("2,0")
        assert isinstance(meter, BoardsMeter)
        assert [part.info.board for part in meter.parts] == [boards[2].uuid, boards[0].uuid]
        assert meter.info.board is None
        assert meter.info.period_seconds == max(part.info.period_seconds for part in meter.parts)
        assert meter.find_period(2.0) == meter.info.period_seconds
        assert "2 boards" in meter.info.note
        check_meter(meter, break_it=lambda: boards[0].fail(COUNTER, "UNKNOWN"))


def test_a_reset_is_an_error_and_no_number(simulator):
    meter = factory.open("0")
    simulator.board(0).reset_counter()
    with pytest.raises(MeasurementError, match="backwards"):
        meter.read()
    meter.close()


def test_a_counter_that_stands_still_is_an_error(simulator):
    simulator.board(0).power(0.0)
    with pytest.raises(MeasurementError, match="does not move"):
        factory.open("0")


@pytest.mark.parametrize("function", [COUNTER, "nvmlDeviceGetHandleByUUID"])
def test_an_opening_that_fails_lets_go_of_the_library(function):
    with Simulator.start(boards=2) as simulator:
        simulator.fail(function, "UNKNOWN")
        for device in ("0", "all"):
            with pytest.raises(MeasurementError):
                factory.open(device)
        simulator.heal()
        library = start_nvml()
        library.nvmlShutdown()
        # Every start was matched by a shutdown, so the library is down again.
        with pytest.raises(library.NVMLError_Uninitialized):
            library.nvmlDeviceGetCount()
        assert "UNKNOWN" not in (factory.why_not("0") or "")


def test_when_one_board_fails_to_open_the_others_are_closed():
    with Simulator.start(boards=2) as simulator:
        simulator.board(1).fail(COUNTER, "GPU_IS_LOST")
        with pytest.raises(MeasurementError, match="lost"):
            factory.open("all")
        library = start_nvml()
        library.nvmlShutdown()
        with pytest.raises(library.NVMLError_Uninitialized):
            library.nvmlDeviceGetCount()


def test_any_thread_may_read(simulator):
    simulator.board(0).configure(update_seconds=0.01)
    meter, errors = factory.open("0"), []

    def read() -> None:
        try:
            for _ in range(2000):
                meter.read()
        except MeasurementError as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meter.close()
    assert not errors


def test_a_board_without_a_counter_has_its_power_integrated(simulator):
    board = simulator.board(0)
    board.configure(counter=False, window_seconds=0.02, duty_seconds=0.01)
    board.square(60, 300, 0.037)
    meter = factory.open("0")
    assert isinstance(meter, IntegratedMeter)
    assert meter.info.note == "integrated power"
    assert meter.info.systematic_fraction > 0.05
    assert meter.info.period_seconds is None
    start, before = time.perf_counter(), meter.read()
    time.sleep(2)
    joules, end = meter.read() - before, time.perf_counter()
    assert joules == pytest.approx(board.joules(start, end), rel=0.3)
    board.fail("nvmlDeviceGetPowerUsage", "GPU_IS_LOST", count=1)
    time.sleep(0.3)
    with pytest.raises(MeasurementError, match="lost"):
        meter.read()
    meter.close()
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()


def test_an_integrated_meter_keeps_the_contract(simulator):
    simulator.board(0).configure(counter=False)
    check_meter(
        factory.open("0"), break_it=lambda: simulator.board(0).fail("nvmlDeviceGetPowerUsage", "UNKNOWN")
    )


def test_a_gap_between_power_readings_is_an_error_once(simulator):
    simulator.board(0).configure(counter=False)
    with closing(factory.open("0")) as meter:
        # Holding its lock is what a process that is stopped does to its readings.
        with meter._reading:
            time.sleep(0.7)
        with pytest.raises(MeasurementError, match="not read all the time"):
            meter.read()
        assert meter.read() >= 0


def test_a_forked_child_cannot_read_integrated_power(simulator, monkeypatch):
    simulator.board(0).configure(counter=False)
    with closing(factory.open("0")) as meter:
        monkeypatch.setattr("os.getpid", lambda: -1)
        with pytest.raises(MeasurementError, match="not read in this process"):
            meter.read()
        monkeypatch.undo()
        assert meter.read() >= 0


def test_closing_does_not_wait_for_a_reading_that_hangs(simulator, monkeypatch):
    monkeypatch.setattr("greenadapt.meters.nvml._PATIENCE_SECONDS", 0.2)
    meter, board = factory.open("0"), simulator.board(0)
    board.configure(latency_seconds=3)
    reader = threading.Thread(target=meter.read)
    reader.start()
    time.sleep(0.3)
    start = time.perf_counter()
    meter.close()
    assert time.perf_counter() - start < 2
    assert reader.is_alive()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()
    reader.join()
    library = start_nvml()
    for _ in range(2):  # its own, and that of the meter, which was abandoned
        library.nvmlShutdown()


def test_a_board_tells_its_limit(simulator):
    with closing(factory.open("0")) as meter:
        assert meter.limit_watts == 700.0


@pytest.mark.gpu
def test_the_counter_rises_under_load():
    meter = factory.open("cuda:0")
    assert meter.info.period_seconds is not None
    assert 0.001 < meter.info.period_seconds <= 0.6
    matrix, before = torch.randn(4096, 4096, device="cuda:0"), meter.read()
    end = time.perf_counter() + 1.0
    while time.perf_counter() < end:
        matrix @ matrix
        torch.cuda.synchronize()
    joules = meter.read() - before
    assert 10 < joules < 2000
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()

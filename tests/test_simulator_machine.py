"""The simulated machine's clock, latency, failures, threads and forks, and that it goes away again."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests.simulator import Simulator, SimulatorError


def handle(sim: Simulator, index: int = 0) -> Any:
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(sim.board(index).uuid)


def joules(board: Any) -> float:
    return pynvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000


@pytest.fixture
def virtual(simulator: Simulator) -> Simulator:
    simulator.virtual(True)
    return simulator


def test_virtual_time_stands_still_but_for_advance_and_latency(virtual: Simulator) -> None:
    before = virtual.now()
    time.sleep(0.01)
    assert virtual.now() == before
    virtual.clock().sleep(5)
    assert virtual.now() == before + 5
    virtual.board(0).configure(latency_seconds=0.004)
    pynvml.nvmlDeviceGetPowerUsage(handle(virtual))
    assert virtual.now() == pytest.approx(before + 5.004, abs=1e-9)
    with pytest.raises(SimulatorError):
        virtual.virtual(False)


@pytest.mark.parametrize("busy", [False, True])
def test_latency_is_real_in_real_time(simulator: Simulator, busy: bool) -> None:
    nvml = handle(simulator)
    simulator.board(0).configure(latency_seconds=0.02, latency_busy=busy)
    start, cpu = time.perf_counter(), time.thread_time()
    for _ in range(5):
        joules(nvml)
    assert time.perf_counter() - start >= 0.1
    assert (time.thread_time() - cpu > 0.02) == busy


def test_the_clock_is_perf_counter(simulator: Simulator) -> None:
    before = time.perf_counter()
    now = simulator.now()
    assert before <= now <= time.perf_counter()
    with pytest.raises(SimulatorError):
        simulator.advance(1)


def test_failures_come_when_and_as_often_as_asked(virtual: Simulator) -> None:
    board, nvml = virtual.board(0), handle(virtual)
    energy = "nvmlDeviceGetTotalEnergyConsumption"
    board.fail(energy, "GPU_IS_LOST", at=virtual.now() + 1, count=2)
    joules(nvml)
    virtual.advance(1)
    for _ in range(2):
        with pytest.raises(pynvml.NVMLError_GpuIsLost):
            joules(nvml)
    joules(nvml)
    board.fail(energy, pynvml.NVML_ERROR_UNKNOWN)
    for _ in range(3):
        with pytest.raises(pynvml.NVMLError_Unknown):
            joules(nvml)
    virtual.heal()
    joules(nvml)
    virtual.fail("nvmlDeviceGetCount", "NO_PERMISSION")
    with pytest.raises(pynvml.NVMLError_NoPermission):
        pynvml.nvmlDeviceGetCount()
    virtual.fail("nvmlInit", "DRIVER_NOT_LOADED")
    with pytest.raises(pynvml.NVMLError_DriverNotLoaded):
        pynvml.nvmlInit()
    with pytest.raises(SimulatorError, match="no function"):
        board.fail("nvmlDeviceGetTotalEnergyConsumtion", 1)


def test_a_failure_of_one_board_leaves_the_other_alone() -> None:
    with Simulator.start(boards=2, virtual=True) as sim:
        sim.board(1).fail("nvmlDeviceGetPowerUsage", "NOT_SUPPORTED")
        pynvml.nvmlDeviceGetPowerUsage(handle(sim, 0))
        with pytest.raises(pynvml.NVMLError_NotSupported):
            pynvml.nvmlDeviceGetPowerUsage(handle(sim, 1))


def test_calls_are_counted(virtual: Simulator) -> None:
    nvml = handle(virtual)
    for _ in range(7):
        joules(nvml)
    assert virtual.calls("nvmlDeviceGetTotalEnergyConsumption") == 7
    assert virtual.calls("nvmlDeviceGetPowerUsage") == 0


def test_many_threads_at_once_lose_nothing(simulator: Simulator) -> None:
    board, nvml, stop = simulator.board(0), handle(simulator), threading.Event()
    board.configure(update_seconds=0.01)
    backwards: list[float] = []

    def read() -> None:
        last = 0.0
        while not stop.is_set():
            value = joules(nvml)
            if value < last:
                backwards.append(value)
            last = value

    def mark() -> None:
        while not stop.is_set():
            board.power(100)
            board.power(300)

    threads = [threading.Thread(target=target) for target in (read, read, mark, mark)]
    start, first = time.perf_counter(), joules(nvml)
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    board.power(0)
    time.sleep(0.03)
    truth = board.joules(start, time.perf_counter())
    assert not backwards
    assert truth > 20
    assert joules(nvml) - first == pytest.approx(truth, abs=0.02 * 300)


def test_marking_a_phase_costs_microseconds(simulator: Simulator) -> None:
    board = simulator.board(0)
    best = math.inf
    for _ in range(5):
        start = time.thread_time()
        for _ in range(1000):
            board.power(100)
        best = min(best, (time.thread_time() - start) / 1000)
    assert best < 50e-6


def test_a_stopped_simulator_is_a_machine_without_a_driver(simulator: Simulator) -> None:
    handle(simulator)
    simulator.stop()
    if not Path("/proc/driver/nvidia").exists():
        with pytest.raises(pynvml.NVMLError):
            pynvml.nvmlInit()
    with Simulator.start(boards=3):
        pynvml.nvmlInit()
        assert pynvml.nvmlDeviceGetCount() == 3


def test_a_forked_child_reads_on_though_a_thread_was_in_a_call(virtual: Simulator) -> None:
    nvml, stop = handle(virtual), threading.Event()
    virtual.board(0).configure(window_seconds=0.001, duty_seconds=0.0005, counter_sampled=True)

    def read() -> None:
        while not stop.is_set():
            virtual.advance(600)  # The next call has many windows to add up: it holds the lock for long.
            joules(nvml)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(12):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                os._exit(0 if joules(nvml) > 0 else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()

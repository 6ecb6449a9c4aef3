"""What the doctor finds on boards: real pynvml on the simulated library."""

from __future__ import annotations

import time

import pytest

from greenadapt.diagnosis.boards import COUNTER, INTEGRATED, look_at_boards
from greenadapt.diagnosis.cuda import look_at_cuda
from tests.simulator import Simulator


def test_a_board_in_good_order(simulator):
    board = simulator.board(0)
    board.configure(update_seconds=0.05, name="NVIDIA Test Board", utilization=30)
    board.power(250)
    time.sleep(0.5)  # what NVML tells of power is the mean of a window that is over
    simulator.driver("555.42")
    found = look_at_boards()
    assert (found.driver, found.why_not) == ("555.42", None)
    (seen,) = found.found
    assert (seen.number, seen.uuid, seen.name) == (0, board.uuid, "NVIDIA Test Board")
    assert (seen.meter, seen.why_not) == (COUNTER, None)
    assert seen.period_seconds == pytest.approx(0.05, rel=0.1)
    assert seen.read_seconds is not None
    assert 0 < seen.read_seconds < 0.01
    assert seen.watts == pytest.approx(250)
    assert seen.busy == 0.3
    assert (seen.other_processes, seen.reasons) == (0, ())
    assert seen.problems == ()


def test_what_disturbs_and_how_it_is_set(simulator):
    board = simulator.board(0)
    board.processes(compute=[1])
    board.reasons(8 | 4)
    board.power_limit(300)
    board.configure(persistence=0, ecc=0)
    (seen,) = look_at_boards().found
    assert seen.other_processes == 1
    assert set(seen.reasons) == {"SwPowerCap", "HwSlowdown"}
    assert seen.power_limit_watts == 300
    assert (seen.persistence, seen.ecc, seen.mig) == (False, False, False)


def test_a_board_without_a_counter_and_one_in_slices(simulator):
    old, sliced = Simulator.start(boards=2).boards
    old.configure(architecture=3)
    sliced.mig(True)
    first, second = look_at_boards().found
    assert (first.meter, first.period_seconds) == (INTEGRATED, None)
    assert (second.meter, second.mig) == (COUNTER, True)


def test_a_failing_board_leaves_the_others_alone(simulator):
    broken, whole = Simulator.start(boards=2).boards
    broken.fail("nvmlDeviceGetTotalEnergyConsumption", "GPU_IS_LOST")
    first, second = look_at_boards().found
    assert "GPU is lost" in str(first.why_not)
    assert first.meter is None
    assert (second.uuid, second.meter) == (whole.uuid, COUNTER)


@pytest.mark.parametrize("function", ["nvmlDeviceGetUUID", "nvmlDeviceGetHandleByIndex"])
def test_boards_that_cannot_even_be_named_are_findings(simulator, function):
    simulator.fail(function, "GPU_IS_LOST")
    (seen,) = look_at_boards().found
    assert "GPU is lost" in str(seen.why_not)
    assert (seen.number, seen.uuid) == (0, None)


def test_boards_that_cannot_be_counted_are_a_reason(simulator):
    simulator.fail("nvmlDeviceGetCount", "UNKNOWN")
    assert "how many boards" in str(look_at_boards().why_not)


def test_failing_questions_are_problems_and_no_more(simulator):
    simulator.board(0).fail("nvmlDeviceGetTemperature", "UNKNOWN")
    (seen,) = look_at_boards().found
    assert seen.celsius is None
    assert "temperature" in " ".join(seen.problems)
    assert seen.meter == COUNTER


def test_without_a_driver_it_says_so(simulator):
    simulator.fail("nvmlInit", "DRIVER_NOT_LOADED")
    found = look_at_boards()
    assert found.found == []
    assert "Install an NVIDIA driver" in str(found.why_not)


def test_without_boards_it_says_so(simulator):
    Simulator.start(boards=0)
    assert "no board" in str(look_at_boards().why_not)


def test_nvml_is_given_back(simulator):
    look_at_boards()
    assert simulator.calls("nvmlInitWithFlags") == simulator.calls("nvmlShutdown")


@pytest.mark.parametrize(
    ("visible", "order", "numbers"),
    [(None, "PCI_BUS_ID", [0, 1]), ("1", "PCI_BUS_ID", [1]), ("1,0", "PCI_BUS_ID", [1, 0])],
)
def test_which_boards_cuda_may_see(simulator, monkeypatch, visible, order, numbers):
    boards = Simulator.start(boards=2).boards
    for name, value in (("CUDA_VISIBLE_DEVICES", visible), ("CUDA_DEVICE_ORDER", order)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    found = look_at_cuda()
    assert found.boards == [boards[number].uuid for number in numbers]
    assert (found.visible_devices, found.device_order, found.why_not) == (visible, order, None)


def test_what_cannot_be_known_of_cuda_is_a_reason(simulator, monkeypatch):
    Simulator.start(boards=2)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    found = look_at_cuda()
    assert found.boards == []
    assert "CUDA_DEVICE_ORDER" in str(found.why_not)

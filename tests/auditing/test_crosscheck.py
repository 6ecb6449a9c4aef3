"""CodeCarbon beside the boards' own counters: real CodeCarbon and real pynvml on the simulated library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from greenadapt.auditing.crosscheck import MOST_DOUBT, CrossCheck, agreement
from greenadapt.meters.codecarbon import Task
from greenadapt.profile import Agreement
from tests.simulator import Simulator, why_not

ONE_BOARD = {"boards": 1, "square": [60, 300, 0.037]}
PROGRAM = """
import json, time
from greenadapt.auditing.crosscheck import CrossCheck
from tests.simulator import Simulator

sim = Simulator.attach()
uuids = [sim.board(number).uuid for number in {boards}]
{before}
with CrossCheck(uuids) as check:
    start = sim.now()
    {during}
    time.sleep({seconds})
    end = sim.now()
found = check.result()
truth = sum(sim.board(number).joules(start, end) for number in {boards})
print(json.dumps([found.model_dump() if found else None, truth]))
"""


def checked(
    numbers: tuple[int, ...] = (0,),
    seconds: float = 2.5,
    during: str = "pass",
    before: str = "",
    extra: dict[str, str] | None = None,
    **state: Any,
) -> tuple[dict[str, Any], float]:
    """What a check in a process of its own found, and what was true."""
    if why_not():
        pytest.skip(str(why_not()))
    environment = Simulator.environment(**(state or ONE_BOARD)) | (extra or {})
    program = PROGRAM.format(boards=repr(numbers), seconds=seconds, during=during, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found, truth = json.loads(done.stdout)
    return found, truth


def test_both_count_the_same_joules():
    found, truth = checked()
    assert found["why_not"] is None
    assert abs(found["relative_difference"]) <= found["doubt_fraction"] + 1e-6
    # Both see a counter that moves every 100 ms, and at most 300 W between their readings and ours.
    assert found["own_joules"] == pytest.approx(truth, abs=300 * 0.3 + 2)
    assert found["machine_joules"] > found["codecarbon_joules"]
    assert found["machine_kind"] == "estimated"
    assert found["seconds"] == pytest.approx(2.5, abs=1.0)


def test_of_several_boards_only_the_named_ones_are_counted():
    state = {"boards": 3, "each": [{"power": 50}, {"power": 400}, {"power": 100}]}
    found, _ = checked(numbers=(0, 2), **state)
    assert found["why_not"] is None
    assert found["codecarbon_joules"] == pytest.approx(150 * found["seconds"], rel=0.2)


@pytest.mark.parametrize("visible", ["", "GPU-nobody"])
def test_cuda_visible_devices_changes_nothing(visible):
    """CodeCarbon by itself would count all boards, another board, or none."""
    state = {"boards": 2, "each": [{"power": 50}, {"power": 400}]}
    found, _ = checked(extra={"CUDA_VISIBLE_DEVICES": visible}, **state)
    assert found["why_not"] is None
    assert abs(found["relative_difference"]) <= found["doubt_fraction"] + 1e-6
    assert found["codecarbon_joules"] == pytest.approx(50 * found["seconds"], rel=0.2)


def test_a_configuration_of_the_user_does_not_reach_the_joules(tmp_path):
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\npue = 2\ngpu_ids = 7\noutput_dir = /nowhere/at/all\nlog_level = debug\n"
    )
    found, _ = checked(extra={"HOME": str(tmp_path)})
    assert found["why_not"] is None
    assert abs(found["relative_difference"]) <= found["doubt_fraction"] + 1e-6


def test_without_nvidia_smi_it_says_what_is_missing(tmp_path):
    found, _ = checked(before=f"import os; os.environ['PATH'] = {str(tmp_path)!r}", seconds=0.1)
    assert "nvidia-smi, which is not on PATH" in found["why_not"]
    assert found["relative_difference"] is None


def test_a_counter_that_starts_again_is_no_comparison():
    found, _ = checked(during="sim.board(0).reset_counter()")
    assert "backwards" in found["why_not"]
    assert found["relative_difference"] is None


def test_a_counter_that_fails_meanwhile_is_no_comparison():
    fail = "sim.board(0).fail('nvmlDeviceGetTotalEnergyConsumption', 'GPU_IS_LOST')"
    found, _ = checked(during=fail, seconds=0.3)
    assert "GPU is lost" in found["why_not"]
    assert found["codecarbon_joules"] is None


def test_a_board_without_a_counter_is_no_comparison():
    found, _ = checked(seconds=0.1, boards=1, each=[{"architecture": 4}])
    assert "Not Supported" in found["why_not"]


def test_a_stretch_that_is_too_short_is_no_comparison():
    found, _ = checked(seconds=0.0)
    assert found["relative_difference"] is None or found["doubt_fraction"] <= MOST_DOUBT


def test_without_boards_there_is_nothing_to_check():
    with CrossCheck([]) as check:
        pass
    assert check.result() is None


def test_a_board_that_nobody_knows_costs_nothing_but_the_check(simulator, monkeypatch):
    monkeypatch.setenv("PATH", Simulator.environment()["PATH"])
    with CrossCheck(["GPU-00000000-0000-0000-0000-000000000000"]) as check:
        done = True
    assert done
    found = check.result()
    assert found is not None
    assert "GPU-00000000" in (found.why_not or "")


def test_an_error_of_the_block_is_not_eaten(simulator, monkeypatch):
    monkeypatch.setenv("PATH", str(os.devnull))
    with pytest.raises(ZeroDivisionError), CrossCheck([simulator.board(0).uuid]):
        1 / 0  # noqa: B018


def task(board_joules: float, warnings: tuple[str, ...] = ()) -> Task:
    return Task(10.0, board_joules + 100.0, board_joules, warnings)


@pytest.mark.parametrize(("codecarbon", "apart"), [(1000.0, 0.0), (1060.0, 0.06), (500.0, -0.5)])
def test_how_far_they_are_apart(codecarbon, apart):
    found = agreement((50.0, 50.0), (1050.0, 1050.0), task(codecarbon), 10.0)
    assert found.relative_difference == pytest.approx(apart)
    assert found.doubt_fraction == 0.0


def test_what_the_counter_did_between_the_readings_is_doubt():
    # CodeCarbon may have read before or after these 20 J at each end.
    found = agreement((0.0, 20.0), (1000.0, 1020.0), task(1010.0), 10.0)
    assert found.own_joules == pytest.approx(1000.0)
    assert found.doubt_fraction == pytest.approx(0.02)
    assert found.relative_difference == pytest.approx(0.01)
    unsure = agreement((0.0, 80.0), (1000.0, 1080.0), task(1010.0), 10.0)
    assert unsure.relative_difference is None
    assert "too short" in str(unsure.why_not)


def test_no_energy_and_warnings_are_reasons():
    zero = agreement((0.0, 0.0), (100.0, 100.0), task(0.0, ("the log said so",)), 10.0)
    assert "no energy" in str(zero.why_not)
    assert "the log said so" in str(zero.why_not)
    assert zero.codecarbon_joules is None
    warned = agreement((0.0, 0.0), (100.0, 100.0), task(100.0, ("averaging its power",)), 10.0)
    assert warned.relative_difference is None
    assert "averaging its power" in str(warned.why_not)


def test_an_agreement_survives_json():
    found = agreement((0.0, 1.0), (100.0, 101.0), task(100.0), 10.0)
    assert Agreement.model_validate_json(found.model_dump_json()) == found

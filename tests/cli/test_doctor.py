"""``greenadapt doctor``, as text and as JSON: whole runs, and how single findings are told."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from greenadapt.cli.doctor import told
from greenadapt.diagnosis import (
    BoardFinding,
    Boards,
    CodeCarbonFinding,
    CudaFinding,
    Diagnosis,
    Energy,
    Here,
    MeterFinding,
    ProcessorFinding,
)
from tests.simulator import Simulator, why_not

UUID = "GPU-12345678-90ab-cdef-1234-567890abcdef"


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The doctor in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "greenadapt", "doctor", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@pytest.fixture
def simulated() -> Any:
    if why_not():
        pytest.skip(str(why_not()))
    return Simulator.environment


def test_on_any_machine_it_is_one_screen_without_a_traceback(tmp_path):
    done = run({**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 100 or "-> " in line for line in lines)
    for word in ("greenadapt", "machine", "device", "energy", "CUDA", "processor", "CodeCarbon", "extras"):
        assert any(line.startswith(word) for line in lines), word


def test_it_says_what_energy_an_audit_would_give(call):
    energy = json.loads(call("doctor", "--json").stdout)["energy"]
    assert {"nvml", "rapl", "codecarbon", "replay"} <= {meter["name"] for meter in energy["meters"]}
    assert all(meter["why_not"] is None or meter["why_not"] for meter in energy["meters"])
    assert energy["verdict"].split(":")[0].split(" ")[0] in ("measured", "estimated", "unknown")


def test_with_boards_json_has_everything(simulated):
    done = run(
        simulated(boards=2, each=[{"power": 200}, {"reasons": 8, "processes": [1]}])
        | {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "1"},
        "--json",
    )
    assert done.returncode == 0
    report = json.loads(done.stdout)
    first, second = report["boards"]["found"]
    assert first["meter"] == second["meter"] == "counter"
    assert first["period_seconds"] == pytest.approx(0.1, rel=0.2)
    assert (second["reasons"], second["other_processes"]) == (["HwSlowdown"], 1)
    assert report["cuda"]["boards"] == [second["uuid"]]
    assert report["codecarbon"]["nvidia_smi"].endswith("nvidia-smi")
    assert report["unanswered"] == []


def test_a_driver_that_never_answers_does_not_stop_it(simulated):
    start = time.perf_counter()
    done = run(simulated(boards=1, latency_seconds=60))
    # Each call takes a minute; dozens are made.
    assert time.perf_counter() - start < 100
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "No answer within" in done.stdout
    assert "nvidia-smi: if that hangs too" in done.stdout


def a_diagnosis(**changes: Any) -> Diagnosis:
    plain = Diagnosis(
        here=Here("A processor", 8, 16_000_000_000, "Linux 6", {"greenadapt": "1.0", "torch": "2.9"}),
        boards=Boards(why_not="There is no driver. NVML says so. Install one."),
        cuda=CudaFinding(torch="2.9", built_for="13.0"),
        processor=ProcessorFinding(why_not="There are none. Run elsewhere."),
        codecarbon=CodeCarbonFinding("3.3.2", None),
        extras={"train": True, "pages": False},
        energy=Energy("cpu", "A processor", "estimated: c", [MeterFinding("rapl", "cpu", "None. Way out.")]),
        problems=[],
        unanswered=[],
    )
    return dataclasses.replace(plain, **changes)


def text(**changes: Any) -> str:
    return "\n".join(f"{label}: {line}" for label, line in told(a_diagnosis(**changes)))


def with_board(**changes: Any) -> str:
    board = BoardFinding(0, UUID, "Board", "counter", None, 0.1, 5e-6, 62.0, 0.25, 40.0, 1700.0)
    return text(boards=Boards("580.1", None, [dataclasses.replace(board, **changes)]))


def test_every_no_has_its_way_out():
    said = text()
    for arrow in ("-> Install one.", "-> Run elsewhere.", "-> pip install 'greenadapt[pages]'"):
        assert arrow in said


def test_a_board_in_good_order():
    said = with_board(other_processes=0, persistence=True, ecc=True, mig=False, power_limit_watts=300.0)
    assert "board 0: Board, GPU-12345678, driver 580.1" in said
    assert "moves every 100 ms (found at 62.0 W, 25% busy), a reading takes 5 µs" in said
    assert "62.0 W of at most 300 W, 40 °C, 1700 MHz; clock held by: nothing" in said
    assert "persistence on, ECC on, MIG off" in said
    assert "meter='nvml:0'" in said
    assert "other process" not in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"meter": "integrated power", "period_seconds": None}, "-> this board counts no energy"),
        ({"meter": None, "why_not": "It is lost. Restart."}, "no joules: It is lost.\n: -> Restart."),
        ({"reasons": ("HwSlowdown", "SwPowerCap")}, "clock held by: HwSlowdown, SwPowerCap"),
        ({"persistence": False}, "-> sudo nvidia-smi -pm 1"),
        ({"mig": True}, "-> the counter covers the whole board"),
        ({"other_processes": 2}, "2 other processes on it"),
        ({"other_processes": None}, "unknown, the list leaves out even us"),
        ({"problems": ("3 of 3 times.",)}, "-> 3 of 3 times."),
        ({"name": None, "uuid": None}, "name unknown, UUID unknown"),
    ],
)
def test_what_is_wrong_with_a_board_is_told(changes, words):
    assert words in with_board(**changes)


def test_denied_counters_come_with_both_commands():
    denied = ProcessorFinding(why_not="x", open_now="sudo chmod a+r f", open_for_good="echo rule")
    said = text(processor=denied)
    assert "-> until the next restart: sudo chmod a+r f" in said
    assert "-> for good: echo rule" in said


def test_settings_of_codecarbon_are_told():
    state = CodeCarbonFinding(
        "3.3.2", None, ["/home/x/.codecarbon.config"], {"force_cpu_power": "65"}, ["pue"]
    )
    said = text(codecarbon=state)
    assert "force_cpu_power=65 change its estimates (/home/x/.codecarbon.config)" in said
    assert "pue have no effect" in said


def test_problems_and_silence_are_told():
    said = text(
        problems=["It broke.\nSeen.\nMend it."], unanswered=["boards: no answer within 12 s."], boards=None
    )
    assert "problem: It broke. Seen.\n: -> Mend it." in said
    assert "no answer: boards: no answer within 12 s." in said


def test_a_long_command_stays_in_one_line():
    from greenadapt.cli.doctor import paragraph

    command = "-> " + "sudo chmod a+r " + " ".join(f"'/sys/{number}/energy_uj'" for number in range(20))
    assert "\n" not in paragraph("", command)
    assert all(len(line) <= 100 for line in paragraph("machine", "word " * 100).splitlines())

"""Other processes on the simulated library: Zeus, CodeCarbon, states of their own; and its building."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.simulator import Simulator, build, why_not

_READ = """
import json, time, pynvml
pynvml.nvmlInit()
boards = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
def read(): return [pynvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000 for board in boards]
start, first = time.perf_counter(), read()
time.sleep(1)
last, end = read(), time.perf_counter()
print(json.dumps({"watts": [(b - a) / (end - start) for a, b in zip(first, last)],
                  "uuids": [pynvml.nvmlDeviceGetUUID(board) for board in boards]}))
"""

_ZEUS = """
import json, time
from tests.simulator import Simulator
from zeus.monitor import ZeusMonitor
board = Simulator.attach().board(0)
monitor = ZeusMonitor(gpu_indices=[0], cpu_indices=[])
begin = time.perf_counter()
monitor.begin_window("w", sync_execution=False)
start = time.perf_counter()
time.sleep(2)
end = time.perf_counter()
found = monitor.end_window("w", sync_execution=False)
print(json.dumps([found.gpu_energy[0], board.joules(start, end), board.joules(begin, time.perf_counter())]))
"""

_CODECARBON = """
import json, time
from tests.simulator import Simulator
from codecarbon import OfflineEmissionsTracker
board = Simulator.attach().board(0)
tracker = OfflineEmissionsTracker(
    country_iso_code="FRA", output_methods=[], measure_power_secs=3600, gpu_ids=[0], pue=1.0,
    log_level="error", allow_multiple_runs=True,
)
begin = time.perf_counter()
tracker.start_task("w")
start = time.perf_counter()
time.sleep(2)
end = time.perf_counter()
found = tracker.stop_task().gpu_energy * 3.6e6
print(json.dumps([found, board.joules(start, end), board.joules(begin, time.perf_counter())]))
tracker.stop()
"""


def child(code: str, **state: Any) -> Any:
    if why_not():
        pytest.skip(why_not() or "")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=Simulator.environment(**state),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_two_children_have_machines_of_their_own() -> None:
    states = [
        {"boards": 2, "power": 100, "update_seconds": 0.02, "each": [{}, {"gain": 0.5}]},
        {"boards": 1, "square": [60, 300, 0.01], "update_seconds": 0.02, "uuid": "GPU-mine"},
    ]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda state: child(_READ, **state), states)
    assert first["watts"] == pytest.approx([100, 50], rel=0.05)
    assert second["watts"] == pytest.approx([180], rel=0.05)
    assert second["uuids"] == ["GPU-mine"]


def test_a_child_without_a_state_has_one_idle_board() -> None:
    found = child(_READ)
    assert len(found["uuids"]) == 1
    assert found["watts"] == pytest.approx([60], rel=0.15)


@pytest.mark.parametrize("state", ['{"powr": 1}', '{"power": "a"}', '{"power": 60', '{"boards": 99}', "[]"])
def test_a_state_that_cannot_be_understood_is_no_working_machine(state: str) -> None:
    if why_not():
        pytest.skip(why_not() or "")
    environment = Simulator.environment() | {"GREENADAPT_SIMULATOR": state}
    code = "import pynvml; pynvml.nvmlInit()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode
    assert "GREENADAPT_SIMULATOR" in done.stderr


@pytest.mark.parametrize(("package", "code"), [("zeus", _ZEUS), ("codecarbon", _CODECARBON)])
def test_the_peers_read_the_energy_of_a_constant_power(package: str, code: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    period = 0.1
    found, inside, around = child(code, boards=2, power=200, update_seconds=period)
    # Each reads the counter once between entering and leaving its calls, up to a period late.
    assert inside - 200 * period - 0.01 <= found <= around + 200 * period + 0.01
    assert inside >= 400


def test_workers_may_build_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if why_not():
        pytest.skip(why_not() or "")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        folders = list(pool.map(lambda _: build(), range(4)))
    assert len(set(folders)) == 1
    assert [path.name for path in tmp_path.iterdir()] == [folders[0].name]
    assert sorted(path.name for path in folders[0].iterdir()) == ["bin", "libnvidia-ml.so.1"]


def test_it_builds_without_warnings(tmp_path: Path) -> None:
    if why_not():
        pytest.skip(why_not() or "")
    sources = sorted((Path(__file__).parent / "simulator" / "library").glob("*.c"))
    command = ["cc", "-std=gnu11", "-Wall", "-Wextra", "-fsyntax-only", *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")

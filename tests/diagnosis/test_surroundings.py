"""What the doctor finds beside boards: processor, packages, settings, answers that do not come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from greenadapt.diagnosis import diagnose
from greenadapt.diagnosis.packages import look_around, look_at_codecarbon
from greenadapt.diagnosis.patience import all_within
from greenadapt.diagnosis.processor import look_at_processor

ROOT = Path(__file__).parents[2]


def domain(tree: Path, number: int, name: str) -> Path:
    folder = tree / f"intel-rapl:{number}"
    folder.mkdir()
    (folder / "name").write_text(name)
    (folder / "energy_uj").write_text(f"{1000 + number}")
    (folder / "max_energy_range_uj").write_text("262143328850")
    return folder


def test_readable_counters(tmp_path):
    domain(tmp_path, 0, "package-0")
    found = look_at_processor(tmp_path)
    assert [(each.name, each.readable) for each in found.domains] == [("package-0", True)]
    assert (found.why_not, found.open_now, found.open_for_good) == (None, None, None)


def test_no_counters(tmp_path):
    found = look_at_processor(tmp_path)
    assert found.domains == []
    assert "virtual machines" in str(found.why_not)


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    """An empty home and working folder, and no settings of CodeCarbon in the environment."""
    for name in [name for name in os.environ if name.lower().startswith("codecarbon_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_codecarbon_as_it_comes(at_home, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = look_at_codecarbon()
    assert found.version
    assert (found.nvidia_smi, found.configs, found.why_not) == (None, [], None)
    assert (found.reaching, found.ignored) == ({}, [])


def test_settings_of_codecarbon_that_reach_us_and_those_that_do_not(at_home, monkeypatch):
    config = at_home / ".codecarbon.config"
    config.write_text("[codecarbon]\nforce_cpu_power = 65\npue = 1.5\n")
    monkeypatch.setenv("CODECARBON_LOG_LEVEL", "debug")
    found = look_at_codecarbon()
    assert found.configs == [str(config)]
    assert found.reaching == {"force_cpu_power": "65"}
    assert found.ignored == ["log_level", "pue"]


def test_what_is_said_to_reach_codecarbon_does(at_home):
    """The power that the user states goes into the estimate; the PUE does not."""
    from greenadapt.meters.codecarbon import Tracker

    def watts() -> float:
        tracker = Tracker(None)
        tracker.begin()
        tracker.end()
        tracker.begin()
        time.sleep(0.3)
        task = tracker.end()
        tracker.close()
        return task.joules / task.seconds

    plain = watts()
    config = at_home / ".codecarbon.config"
    config.write_text("[codecarbon]\npue = 3\ngpu_ids = 9\noutput_dir = /nowhere\nrapl_include_dram = true\n")
    assert watts() == pytest.approx(plain, rel=0.5)
    config.write_text("[codecarbon]\nforce_cpu_power = 100000\n")
    assert watts() > 20 * plain


def test_a_broken_configuration_is_named(at_home):
    (at_home / ".codecarbon.config").write_text("pue = 3 without a section\n")
    assert str(at_home / ".codecarbon.config") in str(look_at_codecarbon().why_not)


def test_what_codecarbon_swallows_is_in_our_error(at_home):
    from greenadapt.errors import MeasurementError
    from greenadapt.meters.codecarbon import Tracker

    (at_home / ".codecarbon.config").write_text("pue = 3 without a section\n")
    with pytest.raises(MeasurementError, match="MissingSectionHeaderError"):
        Tracker(None)


def shadowing(folder: Path) -> str:
    program = "from greenadapt.diagnosis.packages import shadowing; print('|'.join(shadowing()))"
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_nothing_hides_the_module(tmp_path):
    assert shadowing(tmp_path) == ""


def test_an_old_package_that_hides_it_is_found_by_its_version(tmp_path):
    package = tmp_path / "pynvml-11.5.3.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pynvml\nVersion: 11.5.3\n")
    assert "pynvml 11.5.3" in shadowing(tmp_path)
    assert "pip uninstall pynvml" in shadowing(tmp_path)


def test_another_module_of_that_name_is_found_by_what_it_lacks(tmp_path):
    (tmp_path / "pynvml.py").write_text("def nvmlInit(): pass\n")
    assert str(tmp_path / "pynvml.py") in shadowing(tmp_path)


def test_the_newer_package_of_that_name_hides_nothing(tmp_path):
    package = tmp_path / "pynvml-13.0.1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pynvml\nVersion: 13.0.1\n")
    assert shadowing(tmp_path) == ""


def test_versions_are_there():
    here = look_around()
    assert here.versions["torch"]
    assert here.cores >= 1


def test_who_does_not_answer_is_named_and_not_waited_for():
    never = threading.Event()
    start = time.perf_counter()
    found, missing = all_within(
        1.0, {"quick": lambda: 7, "slow": never.wait, "broken": lambda: 1 / 0, "none": lambda: None}
    )
    assert time.perf_counter() - start < 30
    assert found == {"quick": 7, "none": None}
    assert missing == ["slow: no answer within 1 s.", "broken: ZeroDivisionError: division by zero"]
    never.set()


def test_the_whole_is_made_of_its_parts(tmp_path):
    domain(tmp_path, 0, "package-0")
    found = diagnose(powercap=tmp_path, patience_seconds=120)
    assert found.unanswered == []
    assert found.processor is not None
    assert found.processor.domains[0].name == "package-0"
    assert found.energy is not None
    assert {"nvml", "rapl", "codecarbon", "replay"} <= {meter.name for meter in found.energy.meters}
    assert found.extras["train"] in (True, False)


def test_a_pool_that_hangs_does_not_keep_the_program_from_ending():
    program = """
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from greenadapt.diagnosis.patience import all_within

def hang():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(Event().wait).result()

print(all_within(0.5, {"pool": hang}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no answer within 0.5 s" in done.stdout

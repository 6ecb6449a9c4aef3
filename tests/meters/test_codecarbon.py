from __future__ import annotations

import itertools
import json
import logging
import subprocess
import sys
import time

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.meters.codecarbon import Tracker, factory
from tests.simulator import Simulator, why_not


def test_the_estimate_rises_with_time_and_says_what_it_is(capfd, caplog):
    assert factory.why_not("cpu") is None
    meter = factory.open("cpu")
    assert (meter.info.kind, meter.info.scope) == ("estimated", "machine")
    assert "constant power" in meter.info.note
    readings = [meter.read()]
    for _ in range(3):
        time.sleep(0.2)
        readings.append(meter.read())
    watts = [(b - a) / 0.2 for a, b in itertools.pairwise(readings)]
    assert all(2 < power < 2000 for power in watts)
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()
    assert capfd.readouterr() == ("", "")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_readings_at_once_are_no_error():
    meter = factory.open("cpu")
    readings = [meter.read() for _ in range(20)]
    assert readings == sorted(readings)
    meter.close()


def test_two_meters_live_side_by_side():
    one, other = factory.open("cpu"), factory.open("cpu")
    time.sleep(0.2)
    assert one.read() == pytest.approx(other.read(), rel=0.5)
    one.close()
    time.sleep(0.1)
    assert other.read() > 0
    other.close()


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    meter = factory.open("cpu")
    time.sleep(0.05)
    meter.read()
    meter.close()
    assert list(tmp_path.iterdir()) == []


def test_of_boards_only_the_named_one_is_counted():
    """Whatever CUDA may see: CodeCarbon by itself would take an empty list for all boards."""
    if why_not():
        pytest.skip(str(why_not()))
    program = """
import json, time
from greenadapt.meters.codecarbon import factory

watts = []
for board in ("0", "1"):
    meter = factory.open(board)
    before, start = meter.read(), time.perf_counter()
    time.sleep(2.5)
    watts.append((meter.read() - before) / (time.perf_counter() - start))
    meter.close()
print(json.dumps(watts))
"""
    state = {"boards": 2, "each": [{"power": 100}, {"power": 1000}]}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=Simulator.environment(**state) | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    low, high = json.loads(done.stdout)
    # Processor and memory are in both, by a model that follows the load; half a second of a tick either way.
    assert 650 < high - low < 1150


def test_what_codecarbon_says_of_boards_is_kept_apart():
    tracker = Tracker(None)
    tracker.begin()
    time.sleep(0.1)
    task = tracker.end()
    tracker.close()
    tracker.close()
    assert task.joules > 0
    assert task.board_joules == 0
    assert task.seconds == pytest.approx(0.1, abs=5.0)
    assert task.warnings == ()

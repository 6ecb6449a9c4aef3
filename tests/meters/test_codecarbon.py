from __future__ import annotations

import itertools
import logging
import time

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.meters.codecarbon import factory


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

from __future__ import annotations

import json

import pytest

from greenadapt.errors import MeasurementError
from greenadapt.meters.replay import RECORDING_VARIABLE, ReplayMeter, factory


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_plays_a_counter_back():
    clock = Clock()
    meter = ReplayMeter([(5.0, 10.0), (5.1, 12.0), (5.2, 15.0)], clock)
    seen = []
    for seconds in (0.0, 0.05, 0.1, 0.15, 0.2):
        clock.now = 100.0 + seconds + 1e-9
        seen.append(meter.read() if seconds < 0.2 else None)
    assert seen[:4] == [10.0, 10.0, 12.0, 12.0]
    clock.now = 101
    with pytest.raises(MeasurementError, match="over"):
        meter.read()


def test_it_never_passes_for_a_measurement():
    meter = ReplayMeter([(0.0, 0.0), (1.0, 1.0)], kind="estimated", scope="machine")
    assert meter.info.name == "replay"
    assert (meter.info.kind, meter.info.scope) == ("estimated", "machine")
    assert "replayed" in meter.info.note


@pytest.mark.parametrize("series", [[], [(1.0, 1.0), (0.0, 2.0)], [(0.0, 2.0), (1.0, 1.0)]])
def test_a_recording_that_is_none_is_an_error(series):
    with pytest.raises(MeasurementError, match="cannot be played"):
        ReplayMeter(series)


def test_the_recording_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv(RECORDING_VARIABLE, raising=False)
    assert RECORDING_VARIABLE in (factory.why_not("cpu") or "")
    with pytest.raises(MeasurementError, match=RECORDING_VARIABLE):
        factory.open("cpu")
    path = tmp_path / "readings.json"
    monkeypatch.setenv(RECORDING_VARIABLE, str(path))
    assert "no file" in (factory.why_not("cpu") or "")
    path.write_text("[[0, 1")
    with pytest.raises(MeasurementError, match="JSON list"):
        factory.open("cpu")
    path.write_text(json.dumps([[0, 3.0], [60, 9.0]]))
    meter = factory.open("cpu")
    assert meter.read() == 3.0
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()

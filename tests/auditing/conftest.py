"""A recorded counter for audits in tests."""

from __future__ import annotations

import json

import pytest

from greenadapt.meters.replay import RECORDING_VARIABLE


@pytest.fixture
def ten_watts(tmp_path, monkeypatch):
    path = tmp_path / "recording.json"
    path.write_text(json.dumps([[0.001 * k, 0.01 * k] for k in range(60_000)]))
    monkeypatch.setenv(RECORDING_VARIABLE, str(path))

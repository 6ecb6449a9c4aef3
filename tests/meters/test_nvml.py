from __future__ import annotations

import time

import pytest
import torch

from greenadapt.errors import MeasurementError
from greenadapt.meters.nvml import factory

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")


def test_a_cpu_is_no_board():
    assert "no NVIDIA board" in (factory.why_not("cpu") or "")
    with pytest.raises(MeasurementError, match="no NVIDIA board"):
        factory.open("cpu")


@no_gpu
def test_without_a_driver_it_says_what_to_do():
    assert "driver" in (factory.why_not("cuda:0") or "")
    with pytest.raises(MeasurementError, match="driver"):
        factory.open("cuda:0")


@pytest.mark.gpu
def test_the_counter_rises_under_load():
    meter = factory.open("cuda:0")
    assert meter.info.period_seconds is not None
    assert 0.001 < meter.info.period_seconds <= 0.6
    matrix, before = torch.randn(4096, 4096, device="cuda:0"), meter.read()
    end = time.perf_counter() + 1.0
    while time.perf_counter() < end:
        matrix @ matrix
        torch.cuda.synchronize()
    joules = meter.read() - before
    assert 10 < joules < 2000
    meter.close()
    with pytest.raises(MeasurementError, match="closed"):
        meter.read()

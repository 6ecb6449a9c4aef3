"""Two processes train on explicit tables: their mean gradients are those of one process on all samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def started(folder: Path, rows: str, rank: int) -> subprocess.Popen:
    arguments = [rows, str(rank), str(folder / "store"), str(folder / f"{rank}.pt")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.two_processes", *arguments]
    return subprocess.Popen(command, env=environment, cwd=folder)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
@pytest.mark.parametrize("rows", ["whole", "lacking"])
def test_gradients_of_two_processes_are_those_of_one(tmp_path, rows):
    from tests.two_processes import gradients

    workers = [started(tmp_path, rows, 0), started(tmp_path, rows, 1)]
    one = gradients(rows)
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert any(gradient.abs().max() > 0 for gradient in one.values())
    for name, gradient in one.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], gradient, rtol=1e-9, atol=1e-12)

"""Two processes train on explicit tables: their mean gradients are those of one process on all samples."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
_WORKER = """
import sys, torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import greenadapt
from greenadapt.testing import awake

rank, world, store, out = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.set_num_threads(1)
torch.manual_seed(0)
base = awake("cifar_resnet8", num_classes=4).double()
model = greenadapt.wrap(base, "blockdrop", keep=0.5, policy="spread")
model.eval().set_grad_checkpointing(True)
images = torch.randn(8, 3, 16, 16, dtype=torch.float64)
rows = ["110", "011", "101", "011", "111", "001", "100", "110"]
table = torch.tensor([[keep == "1" for keep in row] for row in rows])

class Under(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, table):
        return self.model.forward_under(images, table)

network, share = Under(model), slice(None)
if world > 1:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world)
    network, share = DistributedDataParallel(network), slice(4 * rank, 4 * rank + 4)
for _ in range(2):
    network.zero_grad()
    network(images[share], table[share]).square().mean().backward()
torch.save({name: p.grad for name, p in model.named_parameters()}, out)
"""


def started(folder: Path, rank: int, world: int) -> subprocess.Popen:
    arguments = [str(rank), str(world), str(folder / f"store{world}"), str(folder / f"{world}-{rank}.pt")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", _WORKER, *arguments], env=environment, cwd=folder)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    workers = [started(tmp_path, 0, 1), started(tmp_path, 0, 2), started(tmp_path, 1, 2)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0, 0]
    one, first, second = (
        torch.load(tmp_path / name, weights_only=True) for name in ("1-0.pt", "2-0.pt", "2-1.pt")
    )
    assert any(gradient.abs().max() > 0 for gradient in one.values())
    for name, gradient in one.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], gradient, rtol=1e-9, atol=1e-12)

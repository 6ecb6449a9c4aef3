"""Gradients of a training on explicit tables: of one process on all samples, or of one of two on its half.

python -m tests.two_processes TABLE RANK STORE OUT      one of the two; they meet at the file STORE
"""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import greenadapt
from greenadapt.testing import awake

_HALF = ("111", "001", "100", "110")
TABLES = {
    "whole": ("110", "011", "101", "011", *_HALF),
    "lacking": ("110", "010", "100", "010", *_HALF),
}
"""Rows of keep or drop. Under "lacking" no sample of the first process keeps the last block."""


class _Under(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, table: Tensor) -> Tensor:
        return self.model.forward_under(images, table)


def gradients(rows: str, rank: int | None = None, store: str = "") -> dict[str, Tensor]:
    """By the name of the parameter.

    Args:
        rows: Which of the tables.
        rank: Which of the two processes this is; None for one process alone.
        store: The file at which the two meet.
    """
    torch.manual_seed(0)
    base = awake("cifar_resnet8", num_classes=4).double()
    model = greenadapt.wrap(base, "blockdrop", keep=0.5, policy="spread")
    model.eval().set_grad_checkpointing(True)
    images = torch.randn(8, 3, 16, 16, dtype=torch.float64)
    table = torch.tensor([[keep == "1" for keep in row] for row in TABLES[rows]])
    network, share = _Under(model), slice(None)
    if rank is not None:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
        network = DistributedDataParallel(network, find_unused_parameters=rows == "lacking")
        share = slice(4 * rank, 4 * rank + 4)
    for _ in range(2):
        network.zero_grad()
        network(images[share], table[share]).square().mean().backward()
    return {name: p.grad for name, p in model.named_parameters()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.save(gradients(sys.argv[1], int(sys.argv[2]), sys.argv[3]), sys.argv[4])

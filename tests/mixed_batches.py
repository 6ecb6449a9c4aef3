"""A gated network, a table of random paths and a batch; costs that are made up."""

from __future__ import annotations

import copy
from functools import cache

import torch
from torch import nn

import greenadapt
from greenadapt.adapters.execution import CostModel
from greenadapt.adapters.execution.timing import Moving, Times
from greenadapt.testing import awake


def wrapped(name: str = "resnet26", **options) -> nn.Module:
    return copy.deepcopy(_wrapped(name, **options))


@cache
def _wrapped(name: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return greenadapt.wrap(awake(name).double(), "blockdrop", keep=0.5, policy="spread", **options).eval()


def drawn(samples: int, blocks: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(samples, blocks, generator=torch.Generator().manual_seed(seed)) < 0.5


def batch(samples: int = 6, size: int = 32, channels_last: bool = False) -> torch.Tensor:
    images = torch.randn(
        samples, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    return images.contiguous(memory_format=torch.channels_last) if channels_last else images


def plain(model: nn.Module):
    return lambda images: type(model).retrofit_base.forward(model, images)


def made_up(blocks: int, call: float, row: float, take: float = 0.0, put: float = 0.0) -> CostModel:
    """Every block takes `call` seconds and `row` seconds a sample; a row has one byte."""
    times = {n: Times((call + row * n,) * blocks, (0.0,) * blocks, call, (1,) * blocks) for n in (1, 64)}
    return CostModel(times, Moving(take, put))

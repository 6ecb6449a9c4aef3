"""A short plan, a small network and a few images for audits in tests."""

from __future__ import annotations

import timm
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import greenadapt.zoo  # noqa: F401, RUF100
from greenadapt.profile import Plan

SHORT = Plan(
    batch_size=8,
    trials=2,
    trial_seconds=0.05,
    warmup_seconds=0.1,
    idle_seconds=0,
    target_fraction=None,
    device="cpu",
    meter="none",
    quick=True,
)


def network(name: str = "cifar_resnet8", seed: int = 0, **arguments) -> nn.Module:
    torch.manual_seed(seed)
    return timm.create_model(name, **({"num_classes": 10, "in_chans": 1} | arguments))


def images(count: int = 44, channels: int = 1, size: int = 28, classes: int = 10, **loading) -> DataLoader:
    random = torch.Generator().manual_seed(3)
    pixels = torch.randn(count, channels, size, size, generator=random)
    labels = torch.randint(0, classes, (count,), generator=random)
    return DataLoader(TensorDataset(pixels, labels), **({"batch_size": 10} | loading))

"""The networks that are timed: built alike on both sides, with norms that compute something."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

import greenadapt
import greenadapt.zoo

SEED = 20240501
PAIRS = (("resnet50", "bl_resnet50"), ("resnet101", "bl_resnet101"))
"""Base and retrofit; alpha 2 and beta 4 are the retrofits' defaults."""
CONVERTED = "resnet50 converted"


def network(name: str) -> nn.Module:
    """In eval mode and channels_last; random weights, from a fixed seed.

    Args:
        name: timm's, or `CONVERTED`.
    """
    torch.manual_seed(SEED)
    if name == CONVERTED:
        model: Any = greenadapt.wrap(timm.create_model("resnet50"), "biglittle", depth="native")
    else:
        model = timm.create_model(name)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Zero at the end of each block, where training starts, would make most of the work trivial.
            nn.init.uniform_(module.weight, 0.2, 0.6)
            nn.init.normal_(module.running_mean, 0, 0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    ready: nn.Module = model.eval().to(memory_format=torch.channels_last)
    return ready


def images(batch: int) -> Tensor:
    """[batch, 3, 224, 224] in channels_last."""
    drawn = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(SEED))
    return drawn.to(memory_format=torch.channels_last)

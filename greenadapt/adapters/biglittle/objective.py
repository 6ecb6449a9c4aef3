"""Re-estimates batch norms without labels, then learns from labels and from the base.

After the conversion most blocks see another resolution than they were trained at, so the statistics
that their norms keep are wrong; a few hundred images put them right before the first step.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from greenadapt.adapters.distillation import Distillation
from greenadapt.interfaces import Teacher
from greenadapt.zoo.bl_stages import BigLittleStem

_BATCHES = 20


class BigLittleObjective(Distillation):
    """`Distillation` that begins with a re-estimation of the batch norms."""

    def __init__(self, model: nn.Module, teacher: Teacher | None = None) -> None:
        super().__init__(model, teacher)
        self.name = f"biglittle {self.name}"

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Re-estimates every norm, fits those on the stem's identity path, and those after them again.

        Only before the first training of a conversion: what a training has found is kept.
        """
        if self._trained():
            return
        reestimate_norms(self.model, loader)
        if self.model.greenadapt_config.init == "random":  # type: ignore[union-attr]
            return
        for stem in (m for m in self.model.modules() if isinstance(m, BigLittleStem)):
            for norm in stem.calibrated_norms():
                reestimate_norms(self.model, loader, [norm])
                keep_identity(norm)
            reestimate_norms(self.model, loader)

    def _trained(self) -> bool:
        recipe = getattr(self.model, "greenadapt_recipe", None)
        return recipe is not None and any(run.adapter is not None for run in recipe.training)


def reestimate_norms(
    model: nn.Module, loader: DataLoader[Any], norms: list[nn.BatchNorm2d] | None = None
) -> None:
    """Replaces running statistics by plain averages over a few batches; labels are not looked at.

    Args:
        model: A network on any device.
        loader: Gives (images [B, C, H, W], labels).
        norms: Which norms; None for all.
    """
    chosen = norms if norms is not None else [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in chosen]
    training = model.training
    model.eval()
    for norm in chosen:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    device = next(model.parameters()).device
    with torch.no_grad():
        for images, _ in islice(loader, _BATCHES):
            model(images.to(device, memory_format=torch.channels_last))
    for norm, momentum in zip(chosen, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)


def keep_identity(norm: nn.BatchNorm2d) -> None:
    """Sets scale and shift so that the norm gives back what it gets, under its running statistics."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    with torch.no_grad():
        norm.weight.copy_((norm.running_var + norm.eps).sqrt())
        norm.bias.copy_(norm.running_mean)

"""What the objectives share that begin with a path rather than with every block kept.

    logit z  <──  worth, in units of its spread over the batch  -  price of a block  -  DECAY * z

`worth` is what the loss of an image gains by a block; how it is found is the objective's. A logit moves by
the worth itself, not by the slope of a sigmoid, so that no decision is ever beyond recall. The decay makes z
a prediction: it rests where it is proportional to what the block is worth for such an image, less the price.
The price rises while more blocks are kept than the budget has, and falls while fewer are. Before the settling
all logits are shifted by the one number with which the share of blocks kept over the training images is the
budget's, or as near below it as ties allow.

A policy that keeps every block starts from the best fixed path (`greenadapt.adapters.blockdrop.fixed`), found
on unlabelled images; one that leaves blocks out already, because it was trained or begun from a fixed path
(`greenadapt.adapters.blockdrop.beginning`), goes on from there. So there is no curriculum: the base learns
from the first step on, on paths near those that will run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from greenadapt.adapters.blockdrop.beginning import begin_with, last_layers
from greenadapt.adapters.blockdrop.fixed import find_best_path
from greenadapt.adapters.blockdrop.objectives.fixed import first_images
from greenadapt.adapters.blockdrop.objectives.stages import PolicyObjective
from greenadapt.adapters.blockdrop.paths import asked

PRICE = 30.0
"""Of a block, in units of the spread of worths, for each block over the budget by a share of one."""
DECAY = 0.03
MOST = 4.0
"""Worths beyond so many spreads count as that: few images must not decide for all."""
_TIED = 1e-4
"""Logits closer than this are the same; it is what they lose as probabilities."""
EDGE = 1e-6
"""Probabilities are told from 0 and 1 by this much, when their logits are asked for."""


class FromPathObjective(PolicyObjective):
    """Begins with a path, and holds the policy to its budget; `explore` is the subclass's."""

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Has a policy that keeps every block begin with the best fixed path; another goes on as it is."""
        super().prepare(loader)
        images = first_images(loader)
        if bool((asked(self.policy, [images], next(self.policy.parameters()).device) >= 0.5).all()):
            found = find_best_path(self.network, images, self.keep, adapted=True)
            begin_with(self.policy, found.path)

    def begin_epoch(self, epoch: int) -> None:
        """Holds the policy to its budget before the base settles on what it decides."""
        if epoch == self.settling_from and self.loader is not None:
            hold_to(self.policy, self.loader, self.keep)
        super().begin_epoch(epoch)

    def over(self, z: Tensor) -> float:
        """Share of the blocks that logits z, [B, K], keep, less the budget."""
        return float((z >= 0).float().mean()) - self.budget


def pull(slope: Tensor, z: Tensor, over: float) -> Tensor:
    """The gradient of logits z by what each block is worth, any shape; see the module.

    Args:
        slope: How the loss of an image changes when it keeps more of a block: minus its worth.
        z: The logits.
        over: Share of the blocks kept, less the budget.
    """
    spread = slope.square().mean().sqrt()
    return slope.clamp(-MOST * spread, MOST * spread) + spread * (PRICE * over + DECAY * z)


def hold_to(policy: Any, loader: Iterable[Any], keep: float) -> None:
    """Shifts all logits of a policy by one number, so that it keeps this share of the blocks of some images.

    Decisions with the same logit go together: then it is as much of the share as fits. If the first of them
    are more than the share already, the policy is left as it is.

    Args:
        policy: Gives probabilities [B, K].
        loader: Batches of images, or of images and labels.
        keep: Share of the blocks.
    """
    z = torch.logit(asked(policy, loader, next(policy.parameters()).device), EDGE)
    flat = z.flatten().sort(descending=True).values
    first_dropped = float(flat[min(len(flat) - 1, max(1, round(keep * len(flat))))])
    above = flat[flat > first_dropped + _TIED]
    if len(above) == 0:
        return
    # Midway between the last that is kept and the first that is not.
    threshold = (float(above[-1]) + first_dropped) / 2
    with torch.no_grad():
        for layer in last_layers(policy, z.shape[1]):
            layer.bias.sub_(threshold)

"""A policy trained by asking what one other decision would have done; not in the paper.

    policy's own path ──┬── base, train mode ── loss ────────────────────────────> base
                        ├── base, eval mode ─── cost c ──┐
                        └── one block flipped ─ cost c' ─┴─ c' - c, its worth ───> policy

The other objectives train the base on paths that are sampled, and their noise undoes what a base has learned
on one path. Here the base is only ever trained on the paths that the policy takes, and the policy learns from
differences that are exact, of `FLIPS` blocks of each image in a step; each costs a forward pass.

The cost of an image is bounded, so that no few images decide for all: the total variation distance between
what the network says and what its teacher says, or the labels if it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from greenadapt.adapters.blockdrop.objectives.from_path import EDGE, FromPathObjective, pull
from greenadapt.adapters.distillation import hits
from greenadapt.interfaces import Teacher

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

FLIPS = 2
"""Blocks of each image that are flipped in a step, one at a time."""
_LEAST = 0.1
"""A block that is all but surely dropped is flipped as often as one kept with this probability."""


class CounterfactualObjective(FromPathObjective):
    """Joint training of base and policy by one flipped decision at a time; see the module for what it is.

    Args:
        model: A model with a learned policy.
        teacher: A frozen network that is learned from as well.
        epochs: Of the whole training; six tenths are the settling.
    """

    name = "blockdrop counterfactual"
    settling_share = 0.6

    def __init__(self, model: BlockDrop, teacher: Teacher | None, epochs: int) -> None:
        super().__init__(model, teacher, epochs)
        self.flips = min(FLIPS, self.blocks)

    def explore(
        self, images: Tensor, labels: Tensor, probabilities: Tensor, greedy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of the policy's own paths, with gradients for the flipped decisions, and what is right."""
        chosen = torch.multinomial(probabilities.detach().clamp_min(_LEAST), self.flips)
        worth = self._worths(images, labels, greedy, chosen)
        self.check(worth, "a cost of a flipped path")
        z = torch.logit(probabilities, EDGE)
        gradient = pull(-worth, z.detach().gather(1, chosen), self.over(z))
        logits = self.model.forward_under(images, greedy)
        self.check(logits, "a logit of the policy's path")
        loss = self.base_loss(images, logits, labels) + (z.gather(1, chosen) * gradient).sum(1).mean()
        return loss, hits(logits.detach(), labels)

    @torch.no_grad()
    def _worths(self, images: Tensor, labels: Tensor, greedy: Tensor, chosen: Tensor) -> Tensor:
        """What each chosen block, [B, flips], saves its image of the cost, the others as they are."""
        target = self._target(images, labels)
        self.network.eval()
        now = self._costs(images, greedy, target)
        worths = []
        for block in chosen.split(1, dim=1):
            kept = greedy.gather(1, block)
            flipped = greedy.scatter(1, block, ~kept)
            gained = self._costs(images, flipped, target) - now
            worths.append(torch.where(kept[:, 0], gained, -gained))
        self.set_modes()
        return torch.stack(worths, 1)

    def _costs(self, images: Tensor, table: Tensor, target: Tensor) -> Tensor:
        said = self.model.forward_under(images, table).float().softmax(1)
        return 0.5 * (said - target).abs().sum(1)

    def _target(self, images: Tensor, labels: Tensor) -> Tensor:
        if self.teacher is not None:
            taught: Tensor = self.teacher.network(images)
            return taught.float().softmax(1)
        if labels.ndim > 1:
            return labels.float()
        network: Any = self.network
        return F.one_hot(labels, network.num_classes).float()

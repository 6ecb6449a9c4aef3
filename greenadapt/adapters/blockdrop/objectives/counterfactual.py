"""A policy trained by asking what one other decision would have done; not in the paper.

    policy's own path ──┬── base, train mode ── loss ────────────────────────────> base
                        ├── base, eval mode ─── cost c ──┐
                        └── one block flipped ─ cost c' ─┴─ c' - c, its worth ───> policy

The other objectives train the base on paths that are sampled, whose noise can undo what a base has learned
on one path. Here the base is only ever trained on the paths that the policy takes, and the policy learns from
differences that are measured, of `FLIPS` blocks of each image in a step; each costs a forward pass. Blocks
that the policy is sure to drop are asked less often, and so are slower to come back.

The cost of an image is bounded, so that no few images decide for all: the total variation distance between
what the network says and what its teacher says, or the labels if it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from greenadapt.adapters.blockdrop.objectives.from_path import EDGE, FromPathObjective, pull
from greenadapt.adapters.distillation import answer, hits
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
        taught = None if self.teacher is None else answer(self.teacher, images)
        chosen = torch.multinomial(probabilities.detach().clamp_min(_LEAST), self.flips)
        worth = self._worths(images, _target(labels, taught), greedy, chosen)
        self.check(worth, "a cost of a flipped path")
        z = torch.logit(probabilities, EDGE)
        gradient = pull(-worth, z.detach().gather(1, chosen), self.over(z))
        logits = self.model.forward_under(images, greedy)
        self.check(logits, "a logit of the policy's path")
        loss = self.base_loss(images, logits, labels, taught)
        return loss + (z.gather(1, chosen) * gradient).sum(1).mean(), hits(logits.detach(), labels)

    def _worths(self, images: Tensor, target: Tensor, greedy: Tensor, chosen: Tensor) -> Tensor:
        """What each chosen block, [B, flips], saves its image of the cost, the others as they are."""
        with self.asking():
            now = self._costs(images, greedy, target)
            worths = []
            for block in chosen.split(1, dim=1):
                kept = greedy.gather(1, block)
                gained = self._costs(images, greedy.scatter(1, block, ~kept), target) - now
                worths.append(torch.where(kept[:, 0], gained, -gained))
            return torch.stack(worths, 1)

    def _costs(self, images: Tensor, table: Tensor, target: Tensor) -> Tensor:
        said = self.model.forward_under(images, table).float().softmax(1)
        wanted = F.one_hot(target, said.shape[1]) if target.ndim == 1 else target
        return 0.5 * (said - wanted).abs().sum(1)


def _target(labels: Tensor, taught: Tensor | None) -> Tensor:
    """What the network should say: the teacher's probabilities, [B, classes], or labels of either kind."""
    return labels if taught is None else taught.float().softmax(1)

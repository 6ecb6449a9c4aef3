"""The paper's objective: REINFORCE with a curriculum, then policy and base together.

    policy ── s ── bounded ── sample u ── network ── R(u) ──┐
               └── s >= 1/2 ──── u* ───── network ── R(u*) ─┴── advantage ── policy gradient

For an image that the network classifies correctly while it keeps k of K blocks, the reward is
``1 - max(k / K, keep)^2``; for a wrong one it is ``-penalty``. The baseline is the reward of the policy's own
decision, and probabilities are bounded, so that a policy never stops exploring.

What goes beyond the paper: dropping below the target `keep` earns nothing, and a budget pulls the mean
probability down to it. With the reward alone, a policy for a network of few blocks never leaves the path
that keeps them all: every dropped block hurts a frozen base, and the policy saturates before the base can
learn to do without it. Where the paper's code is at odds with itself, the package's docstring says what is
done.

Source: BlockDrop, sections 3.2 and 3.3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from greenadapt.adapters.blockdrop.objectives.stages import PolicyObjective
from greenadapt.adapters.blockdrop.objectives.terms import (
    bounded,
    entropy,
    over_budget,
    policy_gradient,
    rewards,
)
from greenadapt.adapters.distillation import hits
from greenadapt.interfaces import Teacher

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

ENTROPY_WEIGHT = 0.02
BUDGET_WEIGHT = 10.0


class ReinforceObjective(PolicyObjective):
    """The loss of BlockDrop; see the module for what it is.

    Args:
        model: A model with a learned policy.
        teacher: A frozen network that is learned from as well in the joint stage.
        epochs: Of the whole training; a quarter is the curriculum, a quarter the settling.
        penalty: Of a wrong answer; the paper takes 1 to 10, and more keeps more blocks.
    """

    name = "blockdrop reinforce"
    curriculum_share = 0.25

    def __init__(self, model: BlockDrop, teacher: Teacher | None, epochs: int, penalty: float = 2.0) -> None:
        super().__init__(model, teacher, epochs)
        self.penalty = penalty

    def explore(
        self, images: Tensor, labels: Tensor, probabilities: Tensor, greedy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of a sampled path, and which images the policy's own path gets right."""
        free = self.free_blocks(images.device)
        chances = bounded(probabilities)
        sampled = torch.bernoulli(chances.detach()).bool() | ~free
        logits = self.model.forward_under(images, sampled)
        self.check(logits, "a logit of a sampled path")
        baseline = hits(self._baseline(images, greedy), labels)
        right = hits(logits.detach(), labels)
        advantage = rewards(sampled, right, self.keep, self.penalty) - rewards(
            greedy, baseline, self.keep, self.penalty
        )
        self.check(advantage, "a reward")
        loss = policy_gradient(chances, sampled, advantage, free) - ENTROPY_WEIGHT * entropy(chances, free)
        loss = loss + BUDGET_WEIGHT * over_budget(probabilities, free, self.budget)
        if self.stage == "joint":
            loss = loss + self.base_loss(images, logits, labels)
        return loss, baseline

    def _baseline(self, images: Tensor, greedy: Tensor) -> Tensor:
        with self.asking():
            return self.model.forward_under(images, greedy)

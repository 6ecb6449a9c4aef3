"""Trains a policy by REINFORCE with a curriculum, then policy and base together, then the base alone.

    epochs      |── curriculum ──|── joint ─────────────────────|── settling ──────────|
    base          frozen            trained on sampled paths       trained on the policy's own paths
    policy        the last blocks   trained on all blocks          frozen
                  are free, then
                  more and more
    budget        falls from 1 to `keep`                                 `keep`

For an image that the network classifies correctly while it keeps k of K blocks, the reward is
``1 - max(k / K, keep)^2``; for a wrong one it is ``-penalty``. The baseline is the reward of the policy's own
decision, and probabilities are bounded, so that a policy never stops exploring.

Where the paper's published code is at odds with itself, this is what is done here:

1. The policy gradient is averaged over the batch, in both stages; there it is summed in the second.
2. The entropy is that of a Bernoulli variable, both terms of it, over the free blocks only.
3. Batch norms see the samples that run a block and no others (see `BlockDrop.forward_under`), and the
   baseline's pass runs in eval mode and moves no statistics.
4. There is no value head: nothing trained it.

And what goes beyond the paper:

5. Dropping below the target `keep` earns nothing, and a budget pulls the mean probability down to it. With
   the reward alone, a policy for a network of few blocks never leaves the path that keeps them all: every
   dropped block hurts a frozen base, and the policy saturates before the base can learn to do without it.
6. The last epochs train the base on the policy's own decisions, without exploration: those are the paths
   that run, and norms must have their statistics.

Source: BlockDrop, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from greenadapt.adapters.distillation import decayed_groups, distillation_loss
from greenadapt.errors import TrainingError

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

Stage = Literal["curriculum", "joint", "settling"]
BOUND = 0.8
CURRICULUM_SHARE = 0.25
SETTLING_SHARE = 0.25
ENTROPY_WEIGHT = 0.02
BUDGET_WEIGHT = 10.0
_TEACHER_WEIGHT, _TEMPERATURE = 0.5, 4.0


def bounded(probabilities: Tensor, bound: float = BOUND) -> Tensor:
    """Probabilities pulled into [1 - bound, bound]: ``bound s + (1 - bound)(1 - s)``, any shape."""
    return bound * probabilities + (1 - bound) * (1 - probabilities)


def rewards(table: Tensor, correct: Tensor, keep: float, penalty: float) -> Tensor:
    """Reward of each image, [B].

    Args:
        table: bool, [B, K]: blocks kept.
        correct: bool, [B].
        keep: Share of blocks below which dropping more earns nothing; 0 is the paper's reward.
        penalty: Of a wrong answer.
    """
    usage = table.float().mean(1).clamp_min(keep)
    return torch.where(correct, 1 - usage**2, torch.full_like(usage, -penalty))


class BlockDropObjective:
    """The loss of BlockDrop; see the module for what it is.

    Args:
        model: A model with a learned policy.
        teacher: A frozen network whose logits are learned from as well in the joint stage.
        epochs: Of the whole training; a quarter is the curriculum, a quarter the settling.
        penalty: Of a wrong answer; the paper takes 1 to 10, and more keeps more blocks.
    """

    name = "blockdrop"

    def __init__(
        self, model: BlockDrop, teacher: nn.Module | None, epochs: int, penalty: float = 2.0
    ) -> None:
        self.model = model
        self.network: nn.Module = model  # type: ignore[assignment]
        self.teacher = None if teacher is None else teacher.eval()
        self.curriculum = round(CURRICULUM_SHARE * epochs)
        self.settling_from = epochs - round(SETTLING_SHARE * epochs)
        self.penalty = penalty
        self.stage: Stage = "joint"
        self.free = 0
        self.budget = model.greenadapt_config.keep
        assert model.greenadapt_policy is not None
        self.policy = model.greenadapt_policy

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Nothing: the policy starts open."""

    def optimizer(self, learning_rate: float | None, weight_decay: float) -> torch.optim.Optimizer:
        """AdamW on both networks, 0.001 unless told otherwise."""
        return torch.optim.AdamW(decayed_groups(self.network, weight_decay), lr=learning_rate or 1e-3)

    def begin_epoch(self, epoch: int) -> None:
        """Frees more blocks, counted from the last, until all are free; then thaws the base; then settles."""
        blocks, keep = self._blocks(), self.model.greenadapt_config.keep
        self.stage, self.free, self.budget = "joint", blocks, keep
        if epoch < self.curriculum:
            progress = (epoch + 1) / self.curriculum
            self.stage = "curriculum"
            self.free = math.ceil(blocks * progress)
            self.budget = 1 - (1 - keep) * progress
        elif epoch >= self.settling_from:
            self.stage = "settling"
        self._set_modes()

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss of the stage, and the top-1 and the blocks kept of the policy's own decisions.

        Raises:
            TrainingError: A probability or a reward is no number.
        """
        probabilities = self.policy(images)
        self._check(probabilities, "a probability of the policy")
        free = torch.zeros(self._blocks(), dtype=torch.bool, device=images.device)
        free[self._blocks() - self.free :] = True
        greedy = (probabilities.detach() >= 0.5) | ~free
        if self.stage == "settling":
            logits = self.model.forward_under(images, greedy)
            loss, correct = self._base_loss(images, logits, labels), logits.argmax(1) == labels
        else:
            loss, correct = self._explore(images, labels, probabilities, greedy, free)
        return loss, {
            "top1": correct.float().mean().item(),
            "kept": greedy.float().sum(1).mean().item(),
        }

    def _explore(
        self, images: Tensor, labels: Tensor, probabilities: Tensor, greedy: Tensor, free: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of a sampled path, and which images the policy's own gets right."""
        chances = bounded(probabilities)
        sampled = torch.bernoulli(chances.detach()).bool() | ~free
        logits = self.model.forward_under(images, sampled)
        baseline = self._baseline(images, greedy).argmax(1) == labels
        keep = self.model.greenadapt_config.keep
        advantage = rewards(sampled, logits.detach().argmax(1) == labels, keep, self.penalty) - rewards(
            greedy, baseline, keep, self.penalty
        )
        self._check(advantage, "a reward")
        loss = policy_gradient(chances, sampled, advantage, free) - ENTROPY_WEIGHT * entropy(chances, free)
        loss = loss + BUDGET_WEIGHT * over_budget(probabilities, free, self.budget)
        if self.stage == "joint":
            loss = loss + self._base_loss(images, logits, labels)
        return loss, baseline

    def _base_loss(self, images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        taught = None
        if self.teacher is not None:
            with torch.no_grad():
                taught = self.teacher(images)
        return distillation_loss(logits, labels, taught, _TEACHER_WEIGHT, _TEMPERATURE).mean()

    def _blocks(self) -> int:
        return int(self.policy.net.num_classes)

    def _set_modes(self) -> None:
        base, policy = self.stage != "curriculum", self.stage != "settling"
        self.network.train(base)
        self.policy.train(policy)
        own = {id(p) for p in self.policy.parameters()}
        for parameter in self.network.parameters():
            parameter.requires_grad_(policy if id(parameter) in own else base)

    @torch.no_grad()
    def _baseline(self, images: Tensor, greedy: Tensor) -> Tensor:
        self.network.eval()
        logits = self.model.forward_under(images, greedy)
        self._set_modes()
        return logits

    def _check(self, values: Tensor, what: str) -> None:
        if not torch.isfinite(values).all():
            raise TrainingError(
                f"Training stopped: {what} is no number.",
                f"{int((~torch.isfinite(values)).sum())} of {values.numel()} values in this batch.",
                "Lower the learning rate or use fp32; the last checkpoint is kept as it was.",
            )


def policy_gradient(chances: Tensor, sampled: Tensor, advantage: Tensor, free: Tensor) -> Tensor:
    """REINFORCE: minus the mean over the batch of advantage times log-probability of the free decisions.

    Args:
        chances: [B, K], bounded probabilities of keeping.
        sampled: bool, [B, K].
        advantage: [B].
        free: bool, [K].
    """
    log_chance = torch.where(sampled, chances, 1 - chances).log()
    return -(advantage * (log_chance * free).sum(1)).mean()


def entropy(chances: Tensor, free: Tensor) -> Tensor:
    """Mean entropy of the free decisions in nats, a scalar; chances [B, K], free bool [K]."""
    both = -(chances * chances.log() + (1 - chances) * (1 - chances).log())
    return (both * free).sum() / (len(chances) * free.sum())


def over_budget(probabilities: Tensor, free: Tensor, budget: float) -> Tensor:
    """Square of what the mean probability of keeping a block exceeds the budget by, a scalar.

    Args:
        probabilities: [B, K].
        free: bool, [K]; the other blocks count as kept.
        budget: Share of blocks.
    """
    usage = torch.where(free, probabilities, torch.ones_like(probabilities)).mean()
    return (usage - budget).clamp_min(0).square()

"""Trains a policy by REINFORCE with a curriculum, then policy and base together.

    epochs      |── curriculum ──────────────|── joint ───────────────────────────|
    base        frozen, eval mode              trained on the sampled paths
    policy      only the last blocks are free, trained
                one more with every step

For an image that the network classifies correctly while it keeps k of K blocks, the reward is
``1 - max(k / K, keep)^2``; for a wrong one it is ``-penalty``. The baseline is the reward of the policy's own
decision, and probabilities are bounded, so that a policy never stops exploring.

Where the paper's published code is at odds with itself, this is what is done here:

1. The policy gradient is averaged over the batch, in both stages; there it is summed in the second.
2. The entropy is that of a Bernoulli variable, both terms of it, over the free blocks only.
3. Batch norms see the samples that run a block and no others (see `BlockDrop.forward_under`), and the
   baseline's pass runs in eval mode and moves no statistics.
4. There is no value head: nothing trained it.
5. Dropping below the target `keep` earns nothing; the paper has no target and drops as much as pays.

Source: BlockDrop, sections 3.2 and 3.3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from greenadapt.adapters.distillation import decayed_groups, distillation_loss
from greenadapt.errors import TrainingError

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

BOUND = 0.8
CURRICULUM_SHARE = 0.3
ENTROPY_WEIGHT = 0.02
BASE_RATE = 0.5


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
        epochs: Of the whole training; the first third is the curriculum.
        penalty: Of a wrong answer; the paper takes 1 to 10, and more keeps more blocks.
    """

    name = "blockdrop"

    def __init__(
        self, model: BlockDrop, teacher: nn.Module | None, epochs: int, penalty: float = 2.0
    ) -> None:
        self.model = model
        self.network: nn.Module = model  # type: ignore[assignment]
        self.teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self.curriculum = max(1, round(CURRICULUM_SHARE * epochs)) if epochs > 1 else 0
        self.penalty = penalty
        self.joint = False
        self.free = 0
        assert model.greenadapt_policy is not None
        self.policy = model.greenadapt_policy

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Nothing: the policy starts open."""

    def optimizer(self, learning_rate: float | None, weight_decay: float) -> torch.optim.Optimizer:
        """Adam; the policy's rate is the one given (0.001 unless told otherwise), the base's half of it."""
        rate = learning_rate or 1e-3
        own = {id(p) for p in self.policy.parameters()}
        groups = []
        for group in decayed_groups(self.network, weight_decay):
            for of_policy, factor in ((True, 1.0), (False, BASE_RATE)):
                params = [p for p in group["params"] if (id(p) in own) == of_policy]
                groups.append({"params": params, "lr": rate * factor, "weight_decay": group["weight_decay"]})
        return torch.optim.AdamW(groups)

    def begin_epoch(self, epoch: int) -> None:
        """Frees more blocks, counted from the last, until all are free; then thaws the base."""
        blocks = self._blocks()
        self.joint = epoch >= self.curriculum
        self.free = blocks if self.joint else math.ceil(blocks * (epoch + 1) / self.curriculum)
        self._set_modes()

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Policy gradient, entropy and, in the joint stage, the loss of the sampled path.

        Raises:
            TrainingError: A probability or a reward is no number.
        """
        probabilities = self.policy(images)
        self._check(probabilities, "a probability of the policy")
        free = torch.zeros(self._blocks(), dtype=torch.bool, device=images.device)
        free[self._blocks() - self.free :] = True
        chances = bounded(probabilities)
        sampled = torch.bernoulli(chances.detach()).bool() | ~free
        greedy = (probabilities.detach() >= 0.5) | ~free
        logits = self._forward(images, sampled)
        correct = logits.detach().argmax(1) == labels
        baseline_correct = self._baseline(images, greedy).argmax(1) == labels
        keep = self.model.greenadapt_config.keep
        advantage = rewards(sampled, correct, keep, self.penalty) - rewards(
            greedy, baseline_correct, keep, self.penalty
        )
        self._check(advantage, "a reward")
        loss = policy_gradient(chances, sampled, advantage, free) - ENTROPY_WEIGHT * entropy(chances, free)
        if self.joint:
            loss = loss + distillation_loss(logits, labels, self._teach(images), 0.5, 4.0).mean()
        return loss, {
            "top1": baseline_correct.float().mean().item(),
            "kept": greedy.float().sum(1).mean().item(),
        }

    def _blocks(self) -> int:
        return int(self.policy.net.num_classes)

    def _set_modes(self) -> None:
        self.network.train(self.joint)
        self.policy.train()
        own = {id(p) for p in self.policy.parameters()}
        for parameter in self.network.parameters():
            parameter.requires_grad_(self.joint or id(parameter) in own)

    def _forward(self, images: Tensor, table: Tensor) -> Tensor:
        return self.model.forward_under(images, table)

    @torch.no_grad()
    def _baseline(self, images: Tensor, greedy: Tensor) -> Tensor:
        self.network.eval()
        logits = self._forward(images, greedy)
        self._set_modes()
        return logits

    def _teach(self, images: Tensor) -> Tensor | None:
        if self.teacher is None:
            return None
        with torch.no_grad():
            logits: Tensor = self.teacher(images)
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

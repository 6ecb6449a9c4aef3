"""The terms of BlockDrop's losses, as functions of probabilities and decisions.

    s  [B, K]  probability of keeping, from the policy        table  [B, K]  bool, blocks kept
    s' [B, K]  bounded, for sampling                          free   [K]     bool, blocks the policy decides

Source: BlockDrop, sections 3.2 and 3.3; `over_budget` is not in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

BOUND = 0.8


def bounded(probabilities: Tensor, bound: float = BOUND) -> Tensor:
    """Probabilities pulled into [1 - bound, bound]: ``bound s + (1 - bound)(1 - s)``, any shape."""
    return bound * probabilities + (1 - bound) * (1 - probabilities)


def rewards(table: Tensor, correct: Tensor, keep: float, penalty: float) -> Tensor:
    """Reward of each image, [B]: ``1 - max(k / K, keep)^2`` if it was right, else ``-penalty``.

    Args:
        table: bool, [B, K]: blocks kept.
        correct: bool, [B].
        keep: Share of blocks below which dropping more earns nothing; 0 is the paper's reward.
        penalty: Of a wrong answer.
    """
    usage = table.float().mean(1).clamp_min(keep)
    return torch.where(correct, 1 - usage**2, torch.full_like(usage, -penalty))


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

"""The objective of a plain training: cross-entropy with the labels and, with a teacher, its logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader


def distillation_loss(
    logits: Tensor, labels: Tensor, teacher_logits: Tensor | None, weight: float, temperature: float
) -> Tensor:
    """Loss per image: (1 - w) CE(labels) + w T² KL(teacher || model), both softened by T.

    Args:
        logits: [B, classes].
        labels: int64, [B], or the shares of the classes, [B, classes].
        teacher_logits: [B, classes], or None for cross-entropy alone.
        weight: w, between 0 and 1.
        temperature: T.

    Returns:
        [B].

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    logits = logits.float()
    hard = F.cross_entropy(logits, labels, reduction="none")
    if teacher_logits is None:
        return hard
    soft = F.kl_div(
        F.log_softmax(logits / temperature, 1),
        F.log_softmax(teacher_logits.float() / temperature, 1),
        reduction="none",
        log_target=True,
    ).sum(1)
    return (1 - weight) * hard + weight * temperature**2 * soft


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Which images a network classifies correctly, bool [B].

    Args:
        logits: [B, classes].
        labels: int64, [B], or the shares of the classes, [B, classes], of which the largest is meant.
    """
    return logits.argmax(1) == (labels if labels.ndim == 1 else labels.argmax(1))


class Distillation:
    """Trains all of a model on labels and, if there is one, on a teacher's logits.

    Args:
        model: What is trained; its forward gives logits [B, classes].
        teacher: A network with the same classes, or None; it is not trained.
        weight: Share of the teacher in the loss.
        temperature: Softening of both distributions.
    """

    def __init__(
        self,
        model: nn.Module,
        teacher: nn.Module | None = None,
        weight: float = 0.5,
        temperature: float = 4.0,
    ) -> None:
        self.name = "cross-entropy" if teacher is None else "distillation"
        self.model = model
        self.teacher = None if teacher is None else teacher.eval()
        self.weight = weight
        self.temperature = temperature

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Nothing to do before a plain training."""

    def optimizer(self, learning_rate: float | None, weight_decay: float) -> torch.optim.Optimizer:
        """SGD with Nesterov momentum, 0.1 unless told otherwise; norms and biases do not decay."""
        return torch.optim.SGD(
            decayed_groups(self.model, weight_decay), lr=learning_rate or 0.1, momentum=0.9, nesterov=True
        )

    def begin_epoch(self, epoch: int) -> None:
        """Puts the model in train mode."""
        self.model.train()

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Mean loss over a batch, and its top-1."""
        logits = self.model(images)
        loss = distillation_loss(logits, labels, self.teach(images), self.weight, self.temperature).mean()
        return loss, {"top1": hits(logits, labels).float().mean().item()}

    def teach(self, images: Tensor) -> Tensor | None:
        """The teacher's logits [B, classes], or None without a teacher."""
        if self.teacher is None:
            return None
        with torch.no_grad():
            logits: Tensor = self.teacher(images)
            return logits


def decayed_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups in which only weights of two and more dimensions decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]

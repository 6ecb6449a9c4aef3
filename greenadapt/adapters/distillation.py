"""The objective of a plain training: cross-entropy with the labels and, with a teacher, its logits."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from greenadapt.interfaces import Teacher


def taught_loss(
    images: Tensor, logits: Tensor, labels: Tensor, teacher: Teacher | None, taught: Tensor | None = None
) -> Tensor:
    """Mean over a batch of (1 - w) CE(labels) + w T² KL(teacher || model), both softened by T.

    Args:
        images: What the model was shown, [B, C, H, W].
        logits: What it made of them, [B, classes].
        labels: int64, [B], or the shares of the classes, [B, classes]. With w = 1 they count for nothing.
        teacher: It, w and T; None for cross-entropy alone.
        taught: The teacher's logits, [B, classes], if it was asked already.

    Returns:
        A scalar, float32 even under autocast.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    logits = logits.float()
    if teacher is None:
        return F.cross_entropy(logits, labels)
    if taught is None:
        taught = answer(teacher, images)
    temperature = teacher.temperature
    soft = F.kl_div(
        F.log_softmax(logits / temperature, 1),
        F.log_softmax(taught.float() / temperature, 1),
        reduction="batchmean",
        log_target=True,
    )
    if teacher.share == 1:
        return temperature**2 * soft
    return (1 - teacher.share) * F.cross_entropy(logits, labels) + teacher.share * temperature**2 * soft


@torch.no_grad()
def answer(teacher: Teacher, images: Tensor) -> Tensor:
    """Logits of a teacher, [B, classes], for images [B, C, H, W]."""
    logits: Tensor = teacher.network(images)
    return logits


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
    """

    def __init__(self, model: nn.Module, teacher: Teacher | None = None) -> None:
        self.name = "cross-entropy" if teacher is None else "distillation"
        self.model = model
        self.teacher = teacher

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
        loss = taught_loss(images, logits, labels, self.teacher)
        return loss, {"top1": hits(logits, labels).float().mean().item()}


def decayed_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameter groups in which only weights of two and more dimensions decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]

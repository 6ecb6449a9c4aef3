"""What the objectives of a learned policy share.

    epochs      |── curriculum ──|── joint ─────────────────────|── settling ──────────|
    base          frozen            trained on sampled paths       trained on the policy's own paths
    policy        the last blocks   trained on all blocks          frozen
                  are free, then
                  more and more
    budget        falls from 1 to `keep`                                 `keep`

The last epochs train the base on the policy's own decisions, without exploration: those are the paths that
run, and norms must have their statistics. If the policy is to take a few paths only, they are chosen when
this begins.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from greenadapt.adapters.blockdrop.objectives.optimizers import both
from greenadapt.adapters.blockdrop.paths import limit
from greenadapt.adapters.distillation import hits, taught_loss
from greenadapt.adapters.modes import asked
from greenadapt.errors import OptionError, TrainingError
from greenadapt.interfaces import Teacher

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

Stage = Literal["curriculum", "joint", "settling"]
_LEARNING_RATE = 0.1


class PolicyObjective(ABC):
    """The stages of a training, the base's loss and the settling; `explore` is the subclass's.

    Args:
        model: A model with a learned policy.
        teacher: A frozen network that the base learns from as well, or None.
        epochs: Of the whole training.

    Raises:
        OptionError: There are too few epochs to train the policy at all.
    """

    name = "blockdrop"
    curriculum_share: ClassVar[float] = 0.0
    settling_share: ClassVar[float] = 0.25

    def __init__(self, model: BlockDrop, teacher: Teacher | None, epochs: int) -> None:
        assert model.greenadapt_policy is not None
        self.model = model
        self.network: nn.Module = model  # type: ignore[assignment]
        self.policy: nn.Module = model.greenadapt_policy
        self.teacher = teacher
        self.blocks = model.greenadapt_blocks
        self.keep = model.greenadapt_config.keep
        self.curriculum = round(self.curriculum_share * epochs)
        self.settling_from = epochs - self._settling(epochs)
        if self.settling_from == 0:
            raise OptionError(
                "The policy would never be trained.",
                f"epochs={epochs}, and with paths={model.greenadapt_config.paths} the last one settles.",
                "Train for 2 epochs or more.",
            )
        self.stage: Stage = "joint"
        self.free = self.blocks
        self.budget = self.keep
        self.loader: DataLoader[Any] | None = None

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Remembers the images, on which the paths are limited later."""
        self.loader = loader

    def optimizer(self, learning_rate: float | None, weight_decay: float) -> torch.optim.Optimizer:
        """SGD for the base, 0.1 unless told otherwise, and AdamW for the policy."""
        return both(self.network, self.policy, learning_rate or _LEARNING_RATE, weight_decay)

    def begin_epoch(self, epoch: int) -> None:
        """Frees more blocks, counted from the last, until all are free; then thaws the base; then settles."""
        self.stage, self.free, self.budget = "joint", self.blocks, self.keep
        if epoch < self.curriculum:
            progress = (epoch + 1) / self.curriculum
            self.stage = "curriculum"
            self.free = math.ceil(self.blocks * progress)
            self.budget = 1 - (1 - self.keep) * progress
        elif epoch >= self.settling_from:
            self.stage = "settling"
        if (
            epoch == self.settling_from
            and self.model.greenadapt_allowed is not None
            and self.loader is not None
        ):
            limit(self.network, self.loader)
        self.set_modes()

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """The loss of the stage, and the top-1 and the blocks kept of the policy's own decisions.

        Raises:
            TrainingError: A probability or a reward is no number.
        """
        if self.stage == "settling":
            table = self.model.greenadapt_paths(images)
            logits = self.model.forward_under(images, table)
            loss, correct = self.base_loss(images, logits, labels), hits(logits, labels)
        else:
            probabilities = self.policy(images)
            self.check(probabilities, "a probability of the policy")
            table = (probabilities.detach() >= 0.5) | ~self.free_blocks(images.device)
            loss, correct = self.explore(images, labels, probabilities, table)
        return loss, {
            "top1": correct.float().mean().item(),
            "kept": table.float().sum(1).mean().item(),
        }

    @abstractmethod
    def explore(
        self, images: Tensor, labels: Tensor, probabilities: Tensor, greedy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of sampled paths, and which images were right.

        Args:
            images: [B, C, H, W].
            labels: int64, [B].
            probabilities: [B, K], of keeping, with a gradient.
            greedy: bool, [B, K]: the policy's own decisions.
        """

    def base_loss(
        self, images: Tensor, logits: Tensor, labels: Tensor, taught: Tensor | None = None
    ) -> Tensor:
        """What the base learns from the labels and from the teacher, who is asked unless it was; a scalar."""
        return taught_loss(images, logits, labels, self.teacher, taught)

    def free_blocks(self, device: torch.device) -> Tensor:
        """The blocks that the policy decides on: bool, [K]; the others are kept."""
        return torch.arange(self.blocks, device=device) >= self.blocks - self.free

    def set_modes(self) -> None:
        """Puts base and policy in the modes of the stage, and freezes what it does not train."""
        base, policy = self.stage != "curriculum", self.stage != "settling"
        self.network.train(base)
        self.policy.train(policy)
        own = {id(p) for p in self.policy.parameters()}
        for parameter in self.network.parameters():
            parameter.requires_grad_(policy if id(parameter) in own else base)

    def asking(self) -> AbstractContextManager[None]:
        """The network in eval mode and without gradients; then each module in the mode that it had."""
        return asked(self.network)

    def check(self, values: Tensor, what: str) -> None:
        """Stops the training if any of the values is no number.

        Raises:
            TrainingError: One is not; `what` names it.
        """
        if not torch.isfinite(values).all():
            bad = int((~torch.isfinite(values)).sum())
            raise TrainingError(
                f"Training stopped: {what} is no number.",
                f"{bad} of {values.numel()} values in a batch of the stage {self.stage!r}.",
                "Lower the learning rate or use fp32.",
            )

    def _settling(self, epochs: int) -> int:
        settling = min(round(self.settling_share * epochs), epochs - 1)
        # Limited paths must be chosen before the end, and that is when settling begins.
        return max(settling, 1) if self.model.greenadapt_allowed is not None else settling

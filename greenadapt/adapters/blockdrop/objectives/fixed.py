"""The objective of a fixed policy: find its path if it must be found, then train the base plainly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from greenadapt.adapters.blockdrop.fixed import find_best_path
from greenadapt.adapters.distillation import Distillation
from greenadapt.interfaces import Teacher

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

_IMAGES = 128


class FixedObjective(Distillation):
    """`Distillation` under a fixed policy.

    Args:
        model: Under such a policy.
        teacher: A network with the same classes, or None.
    """

    def __init__(self, model: BlockDrop, teacher: Teacher | None = None) -> None:
        super().__init__(model, teacher)  # type: ignore[arg-type]
        self.name = f"blockdrop {model.greenadapt_config.policy}, {self.name}"
        self.retrofit = model

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Finds the best path on the first images, under a policy "sensitivity" that has none yet."""
        config = self.retrofit.greenadapt_config
        if config.policy == "sensitivity" and config.keep < 1 and all(self.retrofit.greenadapt_kept or ()):
            find_best_path(self.model, first_images(loader), config.keep, adapted=True)


def first_images(loader: Iterable[Any], count: int = _IMAGES) -> Tensor:
    """The first images of a loader of (images, labels), [N, C, H, W], N at most `count`."""
    found: list[Tensor] = []
    for images, _ in loader:
        found.append(images)
        if sum(map(len, found)) >= count:
            break
    return torch.cat(found)[:count]

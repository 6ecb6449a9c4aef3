"""Networks of stages in modules of their own: RegNet, ResNetV2, NFNet and ConvNeXt."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.families.base import AnyBlocks, Stage, main_stride, refill, widths


class RegNets(AnyBlocks):
    """timm's RegNet: four stages ``s1`` to ``s4`` that keep their blocks as their own children."""

    def stages(self, model: Any) -> list[Stage]:
        """All but the last, wherever the stem left the image at a half."""
        found = []
        for name in ("s1", "s2", "s3"):
            stage = getattr(model, name)
            blocks = list(stage.children())
            inputs, outputs = widths(blocks)
            found.append(Stage(name, blocks, inputs, outputs, main_stride(blocks[0]), _children(stage)))
        return found


class ResNetsV2(AnyBlocks):
    """timm's ResNetV2, in pre-activation order or not; each stage has a chain of ``blocks``."""

    def stages(self, model: Any) -> list[Stage]:
        """All but the last."""
        return [
            Stage(
                f"stages.{i}",
                list(stage.blocks),
                *widths(stage.blocks),
                main_stride(stage.blocks[0]),
                partial(refill, stage.blocks),
            )
            for i, stage in enumerate(model.stages[:-1])
        ]


class NormFreeNets(AnyBlocks):
    """timm's NFNet, NF-RegNet and NF-ResNet; the new layers bring the norms that the network has not."""

    def stages(self, model: Any) -> list[Stage]:
        """All but the last."""
        return [
            Stage(f"stages.{i}", list(stage), *widths(stage), main_stride(stage[0]), partial(refill, stage))
            for i, stage in enumerate(model.stages[:-1])
        ]


class ConvNeXts(AnyBlocks):
    """timm's ConvNeXt: both branches share the stage's own downsampling, so every stage stands by itself."""

    joins = False

    def stages(self, model: Any) -> list[Stage]:
        """All but the last; the stage's downsampling is in front of its blocks."""
        return [
            Stage(f"stages.{i}", list(stage.blocks), *widths(stage.blocks), 1, partial(refill, stage.blocks))
            for i, stage in enumerate(model.stages[:-1])
        ]


def _children(stage: nn.Module) -> Any:
    def put(blocks: list[nn.Module]) -> None:
        for name, _ in list(stage.named_children()):
            delattr(stage, name)
        for i, block in enumerate(blocks):
            stage.add_module(f"b{i + 1}", block)

    return put

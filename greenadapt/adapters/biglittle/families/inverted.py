"""Networks of inverted residuals: MobileNetV2 and V4, EfficientNet and MobileNetV3 of timm's.

Their blocks end without an activation and widen between two narrow ends, so a thin copy of one is an inverted
residual again.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.families.base import AnyBlocks, Stage, dilated, main_stride, widths

_BLOCKS = (
    "InvertedResidual",
    "EdgeResidual",
    "DepthwiseSeparableConv",
    "UniversalInvertedResidual",
    "ConvBnAct",
)


class InvertedResiduals(AnyBlocks):
    """timm's EfficientNet and MobileNetV3 classes, which keep their stages in ``blocks``."""

    def check(self, model: Any) -> str | None:
        """Blocks of other kinds are refused, and convolutions of several kernels that split the channels."""
        for stage in model.blocks:
            for block in stage:
                if type(block).__name__ not in _BLOCKS:
                    return f"it has blocks of the kind {type(block).__name__}"
        for name, module in model.named_modules():
            if type(module).__name__ in ("MixedConv2d", "CondConv2d"):
                return f"{name} is a {type(module).__name__}, whose channels cannot be cut evenly"
        return dilated(model)

    def stages(self, model: Any) -> list[Stage]:
        """All but the last, as far as their last block adds its input."""
        found = []
        for i, stage in enumerate(model.blocks[:-1]):
            adds = getattr(stage[-1], "has_skip", False) and len(stage) > 1
            blocks = list(stage) if adds else list(stage)[:1]
            put = _item(model.blocks, i)
            found.append(Stage(f"blocks.{i}", blocks, *widths(stage), main_stride(stage[0]), put))
        return found


def _item(stages: nn.Sequential, i: int) -> Any:
    def put(blocks: list[nn.Module]) -> None:
        stages[i] = nn.Sequential(*blocks)

    return put

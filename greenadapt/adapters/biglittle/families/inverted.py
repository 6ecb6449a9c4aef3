"""Networks of inverted residuals: MobileNetV2 and V4, EfficientNet and MobileNetV3 of timm's.

Their blocks end without an activation and widen between two narrow ends, so a thin copy of one is an inverted
residual again.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from greenadapt.adapters.biglittle.families.base import (
    AnyBlocks,
    Misfit,
    Stage,
    dilated,
    main_stride,
    refill,
    widths,
)

_BLOCKS = (
    "InvertedResidual",
    "EdgeResidual",
    "DepthwiseSeparableConv",
    "UniversalInvertedResidual",
    "ConvBnAct",
)
_OTHER = "Choose another of its family: greenadapt models list 'efficientnet*' or 'mobilenet*'."


class InvertedResiduals(AnyBlocks):
    """timm's EfficientNet and MobileNetV3 classes, which keep their stages in ``blocks``."""

    def check(self, model: Any) -> Misfit | None:
        """Blocks of other kinds are refused, and convolutions of several kernels that split the channels."""
        for stage in model.blocks:
            for block in stage:
                if type(block).__name__ not in _BLOCKS:
                    return Misfit(f"it has blocks of the kind {type(block).__name__}", _OTHER)
        for name, module in model.named_modules():
            if type(module).__name__ in ("MixedConv2d", "CondConv2d"):
                why = f"{name} is a {type(module).__name__}, whose channels cannot be cut evenly"
                return Misfit(why, _OTHER)
        return dilated(model)

    def stages(self, model: Any) -> list[Stage]:
        """All but the last, as far as their last block adds its input."""
        found = []
        for i, stage in enumerate(model.blocks[:-1]):
            adds = getattr(stage[-1], "has_skip", False) and len(stage) > 1
            blocks = list(stage) if adds else list(stage)[:1]
            put = partial(refill, stage)
            found.append(Stage(f"blocks.{i}", blocks, *widths(stage), main_stride(stage[0]), put))
        return found

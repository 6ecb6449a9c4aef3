"""The bottleneck blocks of the Big-Little networks, in chains, and which alphas and betas fit them.

The block is timm's own; what is particular is its shortcut, averaged over 3x3 with stride 2 where the block
halves, and in the little branch 1/alpha of the groups at alpha times their base width.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from timm.layers import SEModule  # type: ignore[attr-defined]
from timm.models.resnet import Bottleneck
from torch import nn

from greenadapt.errors import OptionError
from greenadapt.zoo.bl_stages import Branches

__all__ = ["STEM_WIDTH", "BigLittleShape", "block_options", "check_shape", "little_depth", "pool", "stage"]

STEM_WIDTH = 64
_SQUEEZE = 16


class BigLittleShape(NamedTuple):
    """What tells the paper's networks apart, alpha and beta aside.

    Attributes:
        layers: Blocks of the four stages, the fusion block of each included.
        cardinality: Groups of the 3x3 convolutions.
        base_width: Channels of a group in a stage of 64.
        squeeze: Squeeze-and-excitation in every block.
    """

    layers: tuple[int, int, int, int]
    cardinality: int = 1
    base_width: int = 64
    squeeze: bool = False


def little_depth(blocks: int, beta: int) -> int:
    """Blocks of the little branch beside a stage of that many: max(1, blocks // beta - 1)."""
    return max(1, blocks // beta - 1)


def stage(number: int, wide: BigLittleShape, alpha: int, beta: int, stride: int) -> nn.Sequential:
    """Branches and fusion block of one of the first three stages.

    Args:
        number: Which, from 0.
        wide: The network.
        alpha: The little branch has 1/alpha of the width.
        beta: It has 1/beta of the depth.
        stride: Of the fusion block.
    """
    outputs = STEM_WIDTH * Bottleneck.expansion * 2**number
    inputs = outputs // 2 if number else STEM_WIDTH
    blocks = wide.layers[number]
    thin = wide._replace(cardinality=max(1, wide.cardinality // alpha))
    if wide.cardinality > 1:
        thin = thin._replace(base_width=wide.base_width * alpha)
    big = _chain(inputs, outputs, blocks - 1, 2, wide)
    if blocks > 2:
        # The published networks keep the activation where the big branch is a single block.
        big[-1].act3 = nn.Identity()
    little = _chain(inputs, outputs // alpha, little_depth(blocks, beta), 1, thin)
    branches = Branches(big, little, outputs // alpha, outputs, nn.ReLU(inplace=True))
    return nn.Sequential(branches, *_chain(outputs, outputs, 1, stride, wide))


def _chain(inputs: int, outputs: int, blocks: int, stride: int, shape: BigLittleShape) -> nn.Sequential:
    options = block_options(shape)
    options |= options.pop("block_args")
    made = []
    for i in range(blocks):
        first, step = (inputs, stride) if i == 0 else (outputs, 1)
        shortcut = _shortcut(first, outputs, step)
        made.append(Bottleneck(first, outputs // Bottleneck.expansion, step, shortcut, **options))
    return nn.Sequential(*made)


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    parts: list[nn.Module] = [pool()] if stride != 1 else []
    if inputs != outputs:
        parts += [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*parts) if parts else None


def pool() -> nn.AvgPool2d:
    """Halves a shortcut; unlike timm's averaged shortcut it overlaps, and counts the padding."""
    return nn.AvgPool2d(3, stride=2, padding=1)


def block_options(shape: BigLittleShape) -> dict[str, Any]:
    """Keyword arguments that timm's ResNet passes on to its blocks."""
    # timm rounds the squeezed width to eights, the published networks do not.
    attention = partial(SEModule, rd_ratio=1 / _SQUEEZE, rd_divisor=1) if shape.squeeze else None
    return {
        "cardinality": shape.cardinality,
        "base_width": shape.base_width,
        "block_args": {"attn_layer": attention},
    }


def check_shape(shape: BigLittleShape, alpha: int, beta: int) -> None:
    """Refuses what cannot be built.

    Raises:
        OptionError: alpha does not divide the widths, beta is below 1, or a stage has too few blocks.
    """
    works = [a for a in (2**i for i in range(7)) if _fits(shape, a)]
    if type(alpha) is not int or alpha not in works:
        grouped = f" and the {shape.cardinality} groups" if shape.cardinality > 1 else ""
        raise OptionError(
            f"alpha does not divide the widths{grouped} of this network.",
            f"alpha={alpha!r}; the narrowest width is {STEM_WIDTH}.",
            f"Use one of: {', '.join(map(str, works))}.",
        )
    if type(beta) is not int or beta < 1:
        raise OptionError("beta is out of range.", f"beta={beta!r}", "Use a whole number, 1 or more.")
    if min(shape.layers[:3]) < 2:
        raise OptionError(
            "A stage has too few blocks for a big branch and its fusion block.",
            f"layers={shape.layers}",
            "Give the first three stages two blocks or more.",
        )


def _fits(shape: BigLittleShape, alpha: int) -> bool:
    thinnest = STEM_WIDTH * Bottleneck.expansion // alpha
    squeezable = not shape.squeeze or thinnest >= _SQUEEZE
    return (shape.cardinality == 1 or shape.cardinality % alpha == 0) and squeezable

"""Makes two branches and a fusion block out of each stage that a family offers.

Where two stages that convert follow each other, the fusion block of the first shrinks the image for the
second, as in the paper, whose big branch then halves by its own stride while the little one keeps the size.
Elsewhere a pooling in front of the big branch halves, and the fusion block keeps the size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.adapters.biglittle.families.base import (
    Family,
    Stage,
    last_activation,
    pool,
    without_last_activation,
)
from greenadapt.adapters.biglittle.selection import inherit
from greenadapt.errors import OptionError
from greenadapt.zoo.bl_stages import Branches

_ALPHAS = (1, 2, 4, 8, 16, 32, 64)
"""Those that an error offers, where they divide."""


@dataclass(frozen=True)
class Converted:
    """What became of a stage.

    Attributes:
        name: Of the stage.
        blocks: That it had, after ``depth`` was applied.
        width: Of the big branch.
        little: Blocks of the little branch.
        thin: Its width.
        stride: Of the fusion block.
    """

    name: str
    blocks: int
    width: int
    little: int
    thin: int
    stride: int


def check_widths(family: Family, model: nn.Module, config: BigLittleConfig) -> None:
    """Refuses an alpha that does not divide the widths.

    Raises:
        OptionError: It does not; the message names those that divide the widths of all stages.
    """
    stages = [stage for stage in family.stages(model) if len(stage.blocks) >= 2]
    wrong = next((stage for stage in stages if not _divides(config.alpha, stage)), None)
    if wrong is None:
        return
    works = [a for a in _ALPHAS if all(_divides(a, stage) for stage in stages)]
    raise OptionError(
        f"alpha does not divide the width of {wrong.name}.",
        f"alpha={config.alpha}, width {_width(wrong)}.",
        f"Use one of: {', '.join(map(str, works))}.",
    )


def convert(family: Family, model: nn.Module, config: BigLittleConfig) -> list[Converted]:
    """Converts every stage of two or more blocks, in place.

    Args:
        family: Of the model.
        model: It has at least one such stage.
        config: What to build.
    """
    stages = family.stages(model)
    fits = [len(stage.blocks) >= 2 for stage in stages]
    made = []
    for i, stage in enumerate(stages):
        if not fits[i]:
            continue
        shrunk = family.joins and i > 0 and fits[i - 1] and stage.stride == 2
        follows = i + 1 < len(stages) and fits[i + 1] and stages[i + 1].stride == 2
        made.append(_branch(family, stage, config, shrunk, 2 if family.joins and follows else 1))
    return made


def _branch(family: Family, stage: Stage, config: BigLittleConfig, shrunk: bool, stride: int) -> Converted:
    *body, fusion = stage.blocks
    act = last_activation(fusion)
    little = family.little(
        stage, 1 if shrunk else stage.stride, config.little_depth(len(stage.blocks)), config.alpha
    )
    thin = stage.outputs // config.alpha
    sources = list(stage.blocks)
    if config.init == "l1":
        inherit(little, sources, stage.inputs)
    first = family.halve(body[0], stage.stride)
    if not shrunk and stage.stride == 2:
        first = nn.Sequential(pool(), first)
    if len(body) > 1:
        # The published networks keep the activation where the big branch is a single block.
        without_last_activation(body[-1])
    branches = Branches(nn.Sequential(first, *body[1:]), little, thin, stage.outputs, act)
    if config.init != "random":
        branches.close_little()
    stage.put([branches, family.halve(fusion, 1) if stride == 2 else fusion])
    blocks = config.little_depth(len(stage.blocks))
    return Converted(stage.name, len(stage.blocks), stage.outputs, blocks, thin, stride)


def _divides(alpha: int, stage: Stage) -> bool:
    # A Res2Net block splits its middle into parts of this width.
    part = getattr(stage.blocks[-1], "width", None)
    return _width(stage) % alpha == 0 and (not isinstance(part, int) or part % alpha == 0)


def _width(stage: Stage) -> int:
    """Of the middle of its blocks, which a bottleneck then expands."""
    expansion: Any = getattr(type(stage.blocks[-1]), "expansion", 1)
    return int(stage.outputs // expansion)

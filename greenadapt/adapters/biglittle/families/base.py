"""What a family answers about its networks, and what several of them share."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import nn

from greenadapt.adapters.biglittle.thinning import cut, thin_copy
from greenadapt.zoo.bl_stages import conv_norm

_BESIDE = ("downsample", "shortcut", "se", "attn", "attn_last")
"""Children of a block that are no part of its main path."""


@dataclass(frozen=True)
class Stage:
    """A stage of residual blocks where it stands in a network.

    Attributes:
        name: As in the network's ``feature_info``.
        blocks: In order.
        inputs: Channels that the first block gets.
        outputs: Channels that every block gives.
        stride: By which the first block shrinks the image.
        put: Puts other blocks in their place.
    """

    name: str
    blocks: Sequence[nn.Module]
    inputs: int
    outputs: int
    stride: int
    put: Callable[[list[nn.Module]], None]


class Misfit(NamedTuple):
    """Why a network does not convert.

    Attributes:
        why: A clause, without a full stop.
        instead: What to do, a sentence.
    """

    why: str
    instead: str


class Family(Protocol):
    """A kind of network that the Big-Little rule fits."""

    joins: bool
    """Whether a stage's fusion block can shrink the image for the next stage."""

    def check(self, model: nn.Module) -> Misfit | None:
        """Why this network does not convert, or None."""

    def stages(self, model: nn.Module) -> list[Stage]:
        """The stages that may become two branches, in order."""

    def halve(self, block: nn.Module, stride: int) -> nn.Module:
        """The block with stride 2, in place or behind a pooling; `stride` is the one it has."""

    def little(self, stage: Stage, stride: int, depth: int, alpha: int) -> nn.Sequential:
        """New thin blocks beside a stage's; the first takes the stage's inputs and has the stride."""

    def replace_stem(self, model: Any, alpha: int) -> nn.Module | None:
        """Puts a Big-Little stem into the network and returns it, or None where its own stays."""


def pool() -> nn.AvgPool2d:
    """Halves as the paper's shortcuts do; an odd size is rounded up."""
    return nn.AvgPool2d(3, 2, 1)


def refill(stage: nn.Sequential, blocks: Sequence[nn.Module]) -> None:
    """Puts other blocks into a stage, which itself stays, and with it what hooks onto it.

    Args:
        stage: Changed in place.
        blocks: In order.
    """
    del stage[:]
    stage.extend(blocks)


class AnyBlocks:
    """Stages whose blocks are left as they are: a pooling stands in front of one that is to halve."""

    joins = True

    def check(self, model: nn.Module) -> Misfit | None:
        """Dilated networks are refused: their stages do not shrink the image."""
        return dilated(model)

    def halve(self, block: nn.Module, stride: int) -> nn.Module:
        """A block that halves by itself stays."""
        return block if stride == 2 else nn.Sequential(pool(), block)

    def little(self, stage: Stage, stride: int, depth: int, alpha: int) -> nn.Sequential:
        """A convolution that narrows, then thin copies of the stage's last block."""
        narrow = conv_norm(stage.inputs, cut(stage.outputs, alpha), 3 if stride == 2 else 1, stride)
        return nn.Sequential(
            nn.Sequential(*narrow, last_activation(stage.blocks[-1])),
            *(thin_copy(stage.blocks[-1], alpha) for _ in range(depth)),
        )

    def replace_stem(self, model: Any, alpha: int) -> nn.Module | None:
        """It stays."""
        return None


def main_path(block: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Convolutions and linear layers of a block in the order in which they run, shortcut and gates aside."""
    return [
        module
        for name, module in block.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear)) and not set(name.split(".")) & set(_BESIDE)
    ]


def widths(blocks: Sequence[nn.Module]) -> tuple[int, int]:
    """Channels that a chain of blocks gets and gives."""
    first, last = main_path(blocks[0])[0], main_path(blocks[-1])[-1]
    inputs = first.in_channels if isinstance(first, nn.Conv2d) else first.in_features
    return inputs, last.out_channels if isinstance(last, nn.Conv2d) else last.out_features


def main_stride(block: nn.Module) -> int:
    """By how much a block shrinks the image: the largest stride on its main path, or that of its blur."""
    if any(n.endswith("aa") and not isinstance(m, nn.Identity) for n, m in block.named_modules()):
        return 2
    strides = [m.stride[0] for m in main_path(block) if isinstance(m, nn.Conv2d)]
    return max(strides, default=1)


def dilated(model: nn.Module) -> Misfit | None:
    """Why a dilated network does not convert, or None."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1) and ".paths." not in name:
            return Misfit(
                f"{name} is a dilated convolution, so that the stages do not shrink the image",
                "Build the network without dilation: leave output_stride at 32.",
            )
    return None


def without_last_activation(block: nn.Module) -> nn.Module:
    """The block, in place, with the identity for its last activation, if it has one of its own."""
    if name := _last_activation(block):
        setattr(block, name, nn.Identity())
    return block


def last_activation(block: nn.Module) -> nn.Module:
    """A copy of the activation that a block ends with; the identity where it ends with none."""
    name = _last_activation(block) or ("relu" if hasattr(block, "relu") else None)
    activation: nn.Module = copy.deepcopy(getattr(block, name)) if name else nn.Identity()
    return activation


def _last_activation(block: nn.Module) -> str | None:
    # A block in pre-activation order has its activations in front of its convolutions.
    names = [name for name, _ in block.named_children()]
    acts = [name for name in names if name.startswith("act") and "2b" not in name]
    convs = [name for name in names if name.startswith("conv")]
    if not acts or (convs and _pre_activated(names)):
        return None
    return max(acts)


def _pre_activated(names: list[str]) -> bool:
    first_conv = names.index("conv1") if "conv1" in names else 0
    return any(name in ("norm1", "act1") for name in names[:first_conv])

"""Which stages of which networks convert, and how a block of theirs changes its stride.

A family answers three questions: which stages become two branches and with which stride each one's fusion
block ends; how an inherited block is made to halve; what a thin block beside it looks like.
"""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Protocol

from torch import nn

from greenadapt.adapters.residual import shortcut_of
from greenadapt.errors import ModelError
from greenadapt.zoo.bl_stages import BigLittleStem, conv_norm
from greenadapt.zoo.cifar_resnet import SHORTCUTS, CifarBasicBlock, CifarResNet


class Family(Protocol):
    """A kind of network that the Big-Little rule fits."""

    fusion_strides: ClassVar[dict[str, int]]
    """Stages to convert, in order, and the stride of each one's fusion block."""
    reductions: ClassVar[dict[str, int]]
    """By which factor the image has shrunk after each stage of the converted network."""

    def check(self, model: nn.Module) -> str | None:
        """Why this network does not convert, or None."""

    def halve(self, block: nn.Module) -> nn.Module:
        """The block, in place, with stride 2."""

    def thin(self, block: nn.Module, inputs: int, outputs: int) -> nn.Module:
        """A new block of the same kind with stride 1 between these widths."""


class TimmResNets:
    """timm's ResNet with plain BasicBlock or Bottleneck blocks and a max-pooled stem."""

    fusion_strides: ClassVar[dict[str, int]] = {"layer1": 2, "layer2": 2, "layer3": 1}
    reductions: ClassVar[dict[str, int]] = {"layer1": 8, "layer2": 16, "layer3": 16, "layer4": 32}

    def check(self, model: nn.Module) -> str | None:
        """Grouped, attentive, anti-aliased, dilated and deep-stem variants are refused."""
        if isinstance(model.maxpool, BigLittleStem):
            return "it is a Big-Little network already"
        for name, module in model.named_modules():
            if getattr(module, "se", None) is not None:
                return f"{name} has channel attention"
            if isinstance(getattr(module, "aa", None), nn.Module) and not isinstance(module.aa, nn.Identity):
                return f"{name} is anti-aliased"
            if isinstance(module, nn.Conv2d) and (module.groups != 1 or module.dilation != (1, 1)):
                return f"{name} is a grouped or dilated convolution"
        if not isinstance(model.maxpool, nn.MaxPool2d):
            return "its stem does not end in max-pooling"
        return None

    def halve(self, block: nn.Module) -> nn.Module:
        """Stride 2 on the first 3x3 convolution; the shortcut is averaged, then projected if it was."""
        spatial = next(
            m for m in (block.conv1, block.conv2) if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
        )
        spatial.stride = (2, 2)
        pool = nn.AvgPool2d(3, 2, 1)
        projection = shortcut_of(block)
        if projection is None:
            block.downsample = pool
        else:
            conv = next(m for m in projection.modules() if isinstance(m, nn.Conv2d))
            norm = next(m for m in projection.modules() if isinstance(m, nn.BatchNorm2d))
            conv.stride = (1, 1)
            block.downsample = nn.Sequential(pool, conv, norm)
        block.stride = 2  # type: ignore[assignment]
        return block

    def thin(self, block: nn.Module, inputs: int, outputs: int) -> nn.Module:
        """Built by the block's own class, with a projection where the widths differ."""
        kind: Any = type(block)
        projection = conv_norm(inputs, outputs, 1) if inputs != outputs else None
        made: nn.Module = kind(
            inputs,
            outputs // kind.expansion,
            downsample=projection,
            act_layer=type(block.act1),
        )
        return _initialised(made)


class SmallResNets:
    """The CIFAR ResNets of `greenadapt.zoo`: no stem to replace, and the last of three stages stays."""

    fusion_strides: ClassVar[dict[str, int]] = {"layer1": 2, "layer2": 1}
    reductions: ClassVar[dict[str, int]] = {"layer1": 2, "layer2": 2, "layer3": 4}

    def check(self, model: nn.Module) -> str | None:
        """All of them convert that have two blocks a stage."""
        return None

    def halve(self, block: nn.Module) -> nn.Module:
        """Stride 2 on the first convolution, and a shortcut of the network's own kind."""
        assert isinstance(block, CifarBasicBlock)
        block.conv1.stride = (2, 2)
        shortcut = shortcut_of(block)
        inputs, outputs = block.conv1.in_channels, block.conv2.out_channels
        kind = SHORTCUTS["avgpool"] if shortcut is None else type(shortcut)
        block.downsample = kind(inputs, outputs, 2)
        return block

    def thin(self, block: nn.Module, inputs: int, outputs: int) -> nn.Module:
        """A parameter-free shortcut cannot narrow, so a projection stands where the widths differ."""
        projection = conv_norm(inputs, outputs, 1) if inputs != outputs else None
        return _initialised(CifarBasicBlock(inputs, outputs, 1, projection))


def family_of(model: nn.Module) -> Family:
    """The family that a model belongs to.

    Raises:
        ModelError: The Big-Little rule fits none of its kind, or not this one.
    """
    from timm.models.resnet import ResNet

    family: Family
    if isinstance(model, CifarResNet):
        family = SmallResNets()
    elif isinstance(model, ResNet):
        family = TimmResNets()
    else:
        raise ModelError(
            f"Big-Little does not fit {type(model).__name__}.",
            "It converts stages of residual blocks: timm's ResNet and the cifar_resnet networks.",
            "Choose a ResNet: greenadapt models list 'resnet*'.",
        )
    why_not = family.check(model) or next(
        (
            f"{name} has fewer than two blocks"
            for name in family.fusion_strides
            if len(getattr(model, name)) < 2
        ),
        None,
    )
    if why_not is not None:
        raise ModelError(
            "Big-Little does not fit this network.",
            f"{why_not[0].upper()}{why_not[1:]}.",
            "Choose a plain ResNet with two or more blocks a stage, such as resnet50 or cifar_resnet20.",
        )
    return family


def without_last_activation(block: nn.Module) -> nn.Module:
    """The block, in place, with the identity for its last activation."""
    last = max(name for name, _ in block.named_children() if name.startswith("act"))
    setattr(block, last, nn.Identity())
    return block


def last_activation(block: nn.Module) -> nn.Module:
    """A copy of the block's last activation."""
    last = max(name for name, _ in block.named_children() if name.startswith("act"))
    activation: nn.Module = copy.deepcopy(getattr(block, last))
    return activation


def _initialised(block: nn.Module) -> nn.Module:
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return block

"""The CIFAR ResNets of `greenadapt.zoo`: no stem to replace, and the last of three stages stays."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.families.base import AnyBlocks, Stage, refill
from greenadapt.adapters.biglittle.families.resnets import widen_input
from greenadapt.adapters.biglittle.thinning import thin_copy
from greenadapt.adapters.residual import shortcut_of
from greenadapt.zoo.bl_stages import conv_norm
from greenadapt.zoo.cifar_resnet import SHORTCUTS, CifarBasicBlock

_STAGES = ("layer1", "layer2")


class SmallResNets(AnyBlocks):
    """Stages 1 and 2 convert, with fusion strides 2 and 1."""

    def stages(self, model: Any) -> list[Stage]:
        """The first two."""
        channels = [info["num_chs"] for info in model.feature_info]
        return [
            Stage(
                name=name,
                blocks=list(getattr(model, name)),
                inputs=channels[i],
                outputs=channels[i + 1],
                stride=1 if i == 0 else 2,
                put=partial(refill, getattr(model, name)),
            )
            for i, name in enumerate(_STAGES)
        ]

    def halve(self, block: nn.Module, stride: int) -> nn.Module:
        """Stride 2 on the first convolution, and a shortcut of the network's own kind."""
        assert isinstance(block, CifarBasicBlock)
        block.conv1.stride = (2, 2)
        shortcut = shortcut_of(block)
        inputs, outputs = block.conv1.in_channels, block.conv2.out_channels
        kind = SHORTCUTS["avgpool"] if shortcut is None else type(shortcut)
        block.downsample = kind(inputs, outputs, 2)
        return block

    def little(self, stage: Stage, stride: int, depth: int, alpha: int) -> nn.Sequential:
        """A parameter-free shortcut cannot narrow, so a projection stands where the widths differ."""
        blocks = [thin_copy(stage.blocks[-1], alpha) for _ in range(depth)]
        thin = stage.outputs // alpha
        if stage.inputs != thin:
            widen_input(blocks[0], stage.inputs)
            blocks[0].downsample = conv_norm(stage.inputs, thin, 1)
        return nn.Sequential(*blocks)

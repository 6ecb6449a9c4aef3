"""timm's ResNet with any of its blocks: plain, grouped, attentive, anti-aliased, Res2Net, ResNeSt, SKNet.

The paper's own networks come out of this family to the integer: the first block of a little branch takes the
stage's inputs itself, over a projection, and plain blocks halve by their own stride.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.families.base import AnyBlocks, Misfit, Stage, dilated, pool, refill
from greenadapt.adapters.biglittle.thinning import thin_copy
from greenadapt.adapters.residual import shortcut_of
from greenadapt.zoo.bl_blocks import STEM_WIDTH
from greenadapt.zoo.bl_stages import BigLittleStem, conv_norm

_STAGES = ("layer1", "layer2", "layer3")
_DEEP = 3
_PLAIN = ("BasicBlock", "Bottleneck")


class TimmResNets(AnyBlocks):
    """A stem, four stages, the last of which stays plain."""

    def check(self, model: nn.Module) -> Misfit | None:
        """Dilated ones are refused, and those that are Big-Little networks already."""
        if isinstance(model.maxpool, BigLittleStem):
            return Misfit(
                "it is a Big-Little network already",
                "Use it as it is, or convert the network that it was made of, such as resnet50.",
            )
        return dilated(model)

    def stages(self, model: Any) -> list[Stage]:
        """The first three."""
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
        """Stride 2 on the first 3x3 convolution; the shortcut is averaged, then projected if it was."""
        if type(block).__name__ not in _PLAIN or _anti_aliased(block):
            return super().halve(block, stride)
        spatial = next(
            m for m in (block.conv1, block.conv2) if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)
        )
        spatial.stride = (2, 2)
        projection = shortcut_of(block)
        if projection is None:
            block.downsample = pool()
        else:
            conv = next(m for m in projection.modules() if isinstance(m, nn.Conv2d))
            norm = list(projection.children())[-1]
            conv.stride = (1, 1)
            block.downsample = nn.Sequential(pool(), conv, norm)
        block.stride = 2  # type: ignore[assignment]
        return block

    def little(self, stage: Stage, stride: int, depth: int, alpha: int) -> nn.Sequential:
        """Thin copies of the stage's last block; where its first layer is a module, one more narrows."""
        if not isinstance(stage.blocks[-1].conv1, nn.Conv2d) or stride != 1:
            return super().little(stage, stride, depth, alpha)
        blocks = [thin_copy(stage.blocks[-1], alpha) for _ in range(depth)]
        thin = stage.outputs // alpha
        if stage.inputs != thin:
            widen_input(blocks[0], stage.inputs)
            blocks[0].downsample = conv_norm(stage.inputs, thin, 1)
        return nn.Sequential(*blocks)

    def replace_stem(self, model: Any, alpha: int) -> nn.Module | None:
        """As the paper does, in networks like the paper's; in others it would cost what the stages save.

        Those have a stem of 64 channels that ends in max-pooling, bottleneck blocks, and three or more of
        them in each stage.
        """
        width = model.feature_info[0]["num_chs"]
        deep = all(len(getattr(model, name)) >= _DEEP for name in _STAGES)
        bottlenecks = type(model.layer1[0]).expansion > 1
        if not (deep and bottlenecks and width == STEM_WIDTH):
            return None
        if type(model.maxpool) is not nn.MaxPool2d or not isinstance(model.act1, nn.ReLU):
            return None
        model.maxpool = stem = BigLittleStem(width, alpha)
        return stem


def widen_input(block: nn.Module, inputs: int) -> None:
    """Lets a thin block take more channels than it gives, in place.

    Args:
        block: Its first layer, ``conv1``, is a convolution.
        inputs: Channels of its input.
    """
    conv: Any = block.conv1
    biased = conv.bias is not None
    wide = nn.Conv2d(inputs, conv.out_channels, conv.kernel_size, padding=conv.padding, bias=biased)
    nn.init.kaiming_normal_(wide.weight, mode="fan_out", nonlinearity="relu")
    block.conv1 = wide


def _anti_aliased(block: nn.Module) -> bool:
    aa = getattr(block, "aa", None)
    return isinstance(aa, nn.Module) and not isinstance(aa, nn.Identity)

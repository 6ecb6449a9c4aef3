"""The policy network, and the fixed policies.

    image [B, C, H, W] ── average pool ── small ResNet ── Linear(K) ── s = sigmoid [B, K]
                                                                      keep block k  <=>  s_k >= 0.5

Source: BlockDrop, section 3.1: one shot, K independent Bernoulli decisions. The paper's policy sees the
whole CIFAR image and the ImageNet image at half resolution; here both are halved, because at full
resolution ResNet-8 costs 30 % of a ResNet-20.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenadapt.errors import OptionError

_OPEN_BIAS = 1.0
"""Logit of every block before training: sigmoid(1) = 0.73, all kept, and still within reach of a change."""
_SMALL_IMAGE = 64


class Policy(nn.Module):
    """Decides per image which of K blocks to keep. Before training it keeps all.

    Args:
        blocks: K.
        channels: Channels of the image.
        size: Height of the image the network was made for, for the choice of the policy's network.
        net: timm name of the network, or "auto".
        downscale: The image is average-pooled by this factor first.

    Raises:
        OptionError: timm does not know the network.
    """

    net: Any

    def __init__(self, blocks: int, channels: int, size: int, net: str = "auto", downscale: int = 2) -> None:
        super().__init__()
        import timm

        import greenadapt.zoo  # noqa: F401  registers the paper's policy networks

        if net == "auto":
            net = "cifar_resnet8" if size <= _SMALL_IMAGE else "policy_resnet10"
        if not timm.is_model(net):
            raise OptionError(
                "The policy's network is not known.",
                f"policy_net={net!r}",
                "Use a timm name, such as 'resnet10t'.",
            )
        self.downscale = downscale
        self.net = timm.create_model(net, num_classes=blocks, in_chans=channels)
        head: Any = self.net.get_classifier()
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, _OPEN_BIAS)

    def forward(self, images: Tensor) -> Tensor:
        """Probability of keeping each block, [B, K], for images [B, C, H, W]."""
        seen = F.avg_pool2d(images, self.downscale) if self.downscale > 1 else images
        return torch.sigmoid(self.net(seen).float())


def fixed_path(policy: str, blocks: int, keep: float, seed: int = 0) -> tuple[bool, ...]:
    """The blocks that a fixed policy keeps; at least one.

    Args:
        policy: "first": the first ones. "spread": evenly spaced. "random": drawn once from the seed.
        blocks: K.
        keep: Share to keep.
        seed: Of the draw.

    Source: the FirstK, DistributeK and RandomK rivals of BlockDrop's Table 1.
    """
    count = max(1, round(keep * blocks))
    if policy == "first":
        kept = set(range(count))
    elif policy == "spread":
        kept = {int((i + 0.5) * blocks / count) for i in range(count)}
    else:
        generator = torch.Generator().manual_seed(seed)
        kept = set(torch.randperm(blocks, generator=generator)[:count].tolist())
    return tuple(index in kept for index in range(blocks))

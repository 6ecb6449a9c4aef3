"""The two branches of a stage, and of the stem.

    x ──┬── big: blocks 0..n-2, the first halves ──── up ──┐
        │                                                 + ── activation ── fusion: block n-1
        └── little: thin blocks ── expand: 1x1, norm ──────┘

Source: Big-Little Net, section 3.2 and figure 2; nearest-neighbour upsampling and addition with unit
weights are those of the published networks.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Branches(nn.Module):
    """Big and little branch of one stage, merged by addition.

    Args:
        big: x [B, c, H, W] to [B, C, ~H/2, ~W/2], the last block without its activation.
        little: x to [B, C / alpha, H, W].
        width: Channels that `little` gives.
        out: C.
        act: Activation after the addition.
    """

    def __init__(
        self, big: nn.Sequential, little: nn.Sequential, width: int, out: int, act: nn.Module
    ) -> None:
        super().__init__()
        self.big = big
        self.little = little
        self.expand = conv_norm(width, out, 1)
        # The little branch starts as nothing, so that the stage starts as a known function of the base.
        nn.init.zeros_(self.expand[1].weight)  # type: ignore[arg-type]
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, H, W] to [B, C, H, W]."""
        return self.act(_merged(self.big(x), self.expand(self.little(x))))  # type: ignore[no-any-return]


class BigLittleStem(nn.Module):
    """Takes the place of the max-pooling behind a ResNet's first convolution.

    Its big branch and its last convolution start as the identity at every second pixel, its little one
    as nothing. See `calibrated_norms` for the norms that must be fitted to stay so.

    Args:
        channels: Of its input and output.
        alpha: The little branch has 1/alpha of the width.
    """

    def __init__(self, channels: int, alpha: int) -> None:
        super().__init__()
        thin = channels // alpha
        self.big = conv_norm(channels, channels, 3, stride=2)
        self.little = nn.Sequential(
            *conv_norm(channels, thin, 3),
            nn.ReLU(inplace=True),
            *conv_norm(thin, thin, 3, stride=2),
            nn.ReLU(inplace=True),
            *conv_norm(thin, channels, 1),
        )
        self.act = nn.ReLU(inplace=True)
        self.fuse = conv_norm(channels, channels, 1)
        nn.init.dirac_(self.big[0].weight)  # type: ignore[arg-type]
        nn.init.dirac_(self.fuse[0].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.little[-1].weight)  # type: ignore[arg-type]

    def calibrated_norms(self) -> list[nn.BatchNorm2d]:
        """The norms on the identity path, in order."""
        return [norm for norm in (self.big[1], self.fuse[1]) if isinstance(norm, nn.BatchNorm2d)]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, ceil(H / 2), ceil(W / 2)]."""
        merged = self.act(_merged(self.big(x), self.little(x)))
        return self.act(self.fuse(merged))  # type: ignore[no-any-return]


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for the stride), Kaiming-initialised, and its norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def _merged(big: Tensor, little: Tensor) -> Tensor:
    if big.shape[2:] != little.shape[2:]:
        big = F.interpolate(big, size=little.shape[2:], mode="nearest")
    return big + little

"""The two branches of a stage, and of the stem: what Big-Little networks are made of.

    x ──┬── big: n-1 blocks, the first halves ────────── up ──┐
        │                                                    + ── activation ── fusion: one block
        └── little: thin blocks ── expand: 1x1, norm ─────────┘

The published networks (`greenadapt.zoo.bl_resnet`) and those converted from a pretrained one
(`greenadapt.adapters.biglittle`) are built of the same two modules, so that their tensors bear the same
names. Source: Big-Little Net, section 3.2 and figure 2; nearest-neighbour upsampling and addition with unit
weights are those of the published networks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.layers import register_notrace_function  # type: ignore[attr-defined]
from torch import Tensor, nn
from torch.fx import Proxy
from torch.nn.modules.module import _global_forward_hooks

from greenadapt.errors import OptionError

__all__ = ["BigLittleStem", "Branches", "check_pixels", "conv_norm"]

_SMALLEST = 9
"""Pixels that a stem must get, so that the third stage, at an eighth of that, still has two to halve."""


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
        self.act = act

    def close_little(self) -> None:
        """Lets the little branch give nothing, so that a converted stage starts as a function of its base."""
        nn.init.zeros_(self.expand[1].weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, H, W] to [B, C, H, W]."""
        big, little = self.big(x), self.expand(self.little(x))
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return self.act(_upsampled(big, little) + little)  # type: ignore[no-any-return]
        return self.act(_merged(big, little, _watched(self.expand)))  # type: ignore[no-any-return]


class BigLittleStem(nn.Module):
    """Takes the place of the max-pooling behind a ResNet's first convolution.

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

    def become_identity(self) -> None:
        """Lets it give every second pixel of its input, but for what `calibrated_norms` do to it."""
        nn.init.dirac_(self.big[0].weight)  # type: ignore[arg-type]
        nn.init.dirac_(self.fuse[0].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.little[-1].weight)  # type: ignore[arg-type]

    def calibrated_norms(self) -> list[nn.BatchNorm2d]:
        """The norms on the identity path, in order."""
        return [norm for norm in (self.big[1], self.fuse[1]) if isinstance(norm, nn.BatchNorm2d)]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C, ceil(H / 2), ceil(W / 2)].

        Raises:
            OptionError: The image is too small for a third stage at half resolution.
        """
        if not torch.jit.is_scripting():  # type: ignore[attr-defined]
            check_pixels(x, "the stem", _SMALLEST, 2 * _SMALLEST - 1)
        big, little = self.big(x), self.little(x)
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            merged = _upsampled(big, little) + little
        else:
            merged = _merged(big, little, _watched(self.little))
        return self.act(self.fuse(self.act(merged)))  # type: ignore[no-any-return]


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for the stride), Kaiming-initialised, and its norm."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def _watched(little: nn.Sequential) -> bool:
    """Whether a forward hook sees what the little branch gives, and may keep it."""
    return bool(_global_forward_hooks or little._forward_hooks or little[-1]._forward_hooks)


def _merged(big: Tensor, little: Tensor, watched: bool) -> Tensor:
    """Upsampled big plus little, to the last bit the same on every way.

    Where nobody needs the terms again, the sum takes the little branch's place in memory: of two tensors at
    full resolution, the largest of their stage, none is made.
    """
    if watched or not _may_overwrite(big, little):
        return _upsampled(big, little) + little
    batch, channels, height, width = big.shape
    if little.shape[2:] != (2 * height, 2 * width):
        return little.add_(_upsampled(big, little))
    squares = little.view(batch, channels, height, 2, width, 2)
    squares.add_(big.view(batch, channels, height, 1, width, 1))
    return little


def _upsampled(big: Tensor, little: Tensor) -> Tensor:
    return F.interpolate(big, size=little.shape[2:], mode="nearest")


def _may_overwrite(big: Tensor, little: Tensor) -> bool:
    # What traces a graph gets no question of shapes, and fuses the sum by itself.
    if isinstance(little, Proxy) or torch.compiler.is_compiling():
        return False
    if torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return False
    if little.dtype != big.dtype:
        return False
    return not (torch.is_grad_enabled() and (big.requires_grad or little.requires_grad))


@register_notrace_function  # type: ignore[untyped-decorator]
def check_pixels(given: Tensor, where: str, least: int, image: int | None) -> None:
    """Refuses an image of which too little is left to halve.

    Its name begins with a letter because torch.fx takes no other function for a leaf.

    Args:
        given: What is left of the image at some place, [B, C, H, W].
        where: The place.
        least: Height and width, in pixels, that must be left there.
        image: Height and width of an image that would do, in pixels; None if that is not known.

    Raises:
        OptionError: It is too small.
    """
    if isinstance(given, Proxy):
        return
    height, width = given.shape[-2:]
    if height < least or width < least:
        raise OptionError(
            "This image is too small for a branch at half resolution.",
            f"{height}x{width} px of it are left at {where}, which takes {least}x{least}.",
            f"Use images of {image}x{image} px or more." if image else "Use larger images.",
        )

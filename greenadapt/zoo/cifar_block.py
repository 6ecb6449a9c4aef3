"""The residual block of the CIFAR ResNets, and its two parameter-free shortcuts.

    shortcut="avgpool"    average pooling, the new channels appended at the end   BlockDrop's own networks
    shortcut="subsample"  every second pixel, the new channels on both sides      the public CIFAR-10 weights

They are different networks: the weights trained with one are useless with the other.
"""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SHORTCUTS", "AvgPoolShortcut", "CifarBasicBlock", "SubsampleShortcut"]


class AvgPoolShortcut(nn.Module):
    """Average-pool by the stride and append zero channels (BlockDrop's reference networks).

    [B, in_chs, H, W] -> [B, out_chs, ceil(H / stride), ceil(W / stride)]
    """

    def __init__(self, in_chs: int, out_chs: int, stride: int) -> None:
        super().__init__()
        self.new_chs = out_chs - in_chs
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Halve and append."""
        # ceil_mode keeps odd sizes in step with a padded 3x3 convolution; for even sizes it changes nothing.
        x = F.avg_pool2d(x, self.stride, ceil_mode=True)
        return F.pad(x, (0, 0, 0, 0, 0, self.new_chs))

    def extra_repr(self) -> str:
        """Show the options in `repr`."""
        return f"stride={self.stride}, new_chs={self.new_chs}"


class SubsampleShortcut(nn.Module):
    """Keep every ``stride``-th pixel and put the zero channels on both sides (He et al., option A).

    [B, in_chs, H, W] -> [B, out_chs, ceil(H / stride), ceil(W / stride)]
    """

    def __init__(self, in_chs: int, out_chs: int, stride: int) -> None:
        super().__init__()
        self.before = (out_chs - in_chs) // 2
        self.after = out_chs - in_chs - self.before
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Pick and pad."""
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, self.before, self.after))

    def extra_repr(self) -> str:
        """Show the options in `repr`."""
        return f"stride={self.stride}, before={self.before}, after={self.after}"


SHORTCUTS: dict[str, type[AvgPoolShortcut] | type[SubsampleShortcut]] = {
    "avgpool": AvgPoolShortcut,
    "subsample": SubsampleShortcut,
}


class CifarBasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: ``act2(bn2(conv2(act1(bn1(conv1(x))))) + shortcut(x))``.

    [B, inplanes, H, W] -> [B, planes, ceil(H / stride), ceil(W / stride)]. The attributes are named as in
    timm's BasicBlock.

    Args:
        inplanes: Channels of the input.
        planes: Channels of the output.
        stride: Stride of the first convolution.
        downsample: Module for the shortcut; None where it is the identity.
    """

    expansion = 1

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.act2 = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def zero_init_last(self) -> None:
        """Zero the last norm's scale, so that the block starts as its shortcut."""
        nn.init.zeros_(self.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Run the block."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x)) + shortcut
        return self.act2(x)  # type: ignore[no-any-return]

"""The policy network.

    image [B, C, H, W] ── average pool ── small ResNet ── Linear(K) ── s = sigmoid [B, K]
                                                                      keep block k  <=>  s_k >= 0.5

Source: BlockDrop, section 3.1: one shot, K independent Bernoulli decisions. The paper's own policies are
``net="cifar_resnet8", downscale=1`` (24.48 MFLOPs as 2 x MAC, 17.8 % of a ResNet-32) and
``net="policy_resnet10", downscale=2`` (471.9 MFLOPs, 5.8 % of a ResNet-50). Their parameters, for K blocks:

                       K     here         published, with a value head that nothing trains
    cifar_resnet8     15     75,615       75,680
                      54     78,150       78,215
    policy_resnet10   33     4,922,721    4,923,234

All see the halved image unless told otherwise: at full resolution ResNet-8 costs 30 % of a ResNet-20. "auto"
takes the paper's ResNet-8 for small images, and for others what the base can afford (`AFFORDABLE`): the
ResNet-10 without its last stage, which in a ResNet-50 costs 4.3 % of the FLOPs, or ``policy_resnet6``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenadapt.adapters.blockdrop.policy_net import Size, build, open_head
from greenadapt.errors import GreenadaptError, OptionError

AFFORDABLE = 0.05
"""Share of the base's multiply-accumulates that the network of "auto" may cost, the cheapest aside."""
_SMALL_IMAGE = 64
_FOR_SMALL = ("cifar_resnet8",)
_FOR_LARGE = ("policy_resnet8", "policy_resnet6")
"""What "auto" takes the first of that the base can afford."""
_FEWEST_PIXELS = 8
_NARROW = (torch.float16, torch.bfloat16)


class Policy(nn.Module):
    """Decides per image which of K blocks to keep. Before training it keeps all.

    Args:
        blocks: K.
        channels: Channels of the image.
        size: Height and width of the image the network was made for; one number of a square one.
        net: timm name of the network, with or without a pretrained tag, or "auto".
        downscale: The image is average-pooled by this factor first.
        base_macs: Multiply-accumulates of an image in the network decided for, which tell what "auto" may
            cost; None: whatever it costs.

    Attributes:
        name: timm name of the network.
        macs: Multiply-accumulates of an image of that size.
        weights: What the network started from: a name of timm's, or "random". None where that is not known,
            because the weights were loaded with the model's.
        begins_anew: Its norms make their own statistics, even in a training that freezes the network's.

    Raises:
        OptionError: timm does not know the network, or it cannot work on what is left of the image.
    """

    net: Any
    begins_anew = True

    def __init__(
        self,
        blocks: int,
        channels: int,
        size: int | Size,
        net: str = "auto",
        downscale: int = 2,
        base_macs: int | None = None,
    ) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        self.seen: Size = (height // downscale, width // downscale)
        _check_pixels((height, width), downscale)
        nets = (_FOR_SMALL if height <= _SMALL_IMAGE else _FOR_LARGE) if net == "auto" else (net,)
        for name in nets:
            built = build(name, blocks, channels, self.seen)
            if base_macs is None or built.macs <= AFFORDABLE * base_macs:
                break
        self.name, self.downscale, self.macs = name, downscale, built.macs
        self.weights: str | None = None
        self._why_random = ""
        self._blocks, self._channels, self._way = blocks, channels, built.way
        self.net = built.net

    def forward(self, images: Tensor) -> Tensor:
        """Probability of keeping each block, [B, K], for images [B, C, H, W]; never in half precision."""
        seen = F.avg_pool2d(images, self.downscale) if self.downscale > 1 else images
        size = self._way.resize_to
        if size is not None and tuple(seen.shape[-2:]) != size:
            wide = seen.float() if seen.dtype in _NARROW else seen
            seen = F.interpolate(wide, size, mode="bilinear", antialias=True).to(images.dtype)
        logits: Tensor = self.net(seen)
        return torch.sigmoid(logits.float() if logits.dtype in _NARROW else logits)

    def inherit(self, open_model: Callable[..., nn.Module]) -> None:
        """Starts from published weights where there are some within reach, else from random ones.

        The classifier stays open either way. What was done is in `weights` and `notes`.

        Args:
            open_model: As `greenadapt.open_model`.
        """
        import timm

        cfg = timm.get_pretrained_cfg(self.name)
        self.weights = "random"
        if cfg is None or not cfg.has_weights:
            self._why_random = "none are published for it"
            return
        arguments = {"num_classes": self._blocks, "in_chans": self._channels, **self._way.arguments}
        try:
            taught = open_model(f"timm:{self.name}", **arguments)
        except GreenadaptError as error:
            self._why_random = (error.seen or error.happened).rstrip(".")
            return
        open_head(taught, self._blocks)
        self.net.load_state_dict(taught.state_dict())
        self.weights = self.name if "." in self.name else f"{self.name}.{cfg.tag}"

    def summary(self) -> str:
        """One line: the network, what it sees, its parameters and its cost."""
        height, width = self.seen
        sees = f"{height}x{width} px"
        if self._way.resize_to not in (None, self.seen):
            height, width = self._way.resize_to or self.seen
            sees += f" resized to {height}x{width}"
        parameters = sum(p.numel() for p in self.parameters())
        return f"{self.name} on {sees}, {parameters:,} parameters, {self.macs / 1e6:.1f} M MAC an image"

    def notes(self) -> list[str]:
        """What a reader of a description must know of the policy."""
        notes = ["?: decided for each image; before it is trained, a policy decides alike for all of them"]
        if self.weights == "random":
            notes.append(f"the policy starts from random weights: {self._why_random}")
        elif self.weights is not None:
            notes.append(f"the policy starts from the weights of {self.weights}")
        return notes


def _check_pixels(size: Size, downscale: int) -> None:
    if min(size) // downscale >= _FEWEST_PIXELS:
        return
    fits = max(1, min(size) // _FEWEST_PIXELS)
    raise OptionError(
        "policy_downscale leaves the policy too few pixels.",
        f"policy_downscale={downscale} makes {size[0]}x{size[1]} px "
        f"{size[0] // downscale}x{size[1] // downscale}; it needs {_FEWEST_PIXELS}x{_FEWEST_PIXELS}.",
        f"Use policy_downscale={fits}" + (" or less." if fits > 1 else "."),
    )

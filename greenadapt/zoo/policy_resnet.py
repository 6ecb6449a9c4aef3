"""Trunks of policy networks that timm lacks: BlockDrop's for ImageNet, and one that costs next to nothing.

    policy_resnet10   stem of a ResNet-18 and the first block of each of its stages; 236 M MAC at 112 px
    policy_resnet8    the same without the last stage; 177 M MAC at 112 px, a quarter of the parameters
    policy_resnet6    a stem of stride 2 and two blocks of 32 and 64 channels; 2 M MAC at 32 px

BlockDrop's policy for CIFAR is ``cifar_resnet8``, 12 M MAC at 32 px. A ResNet-56 takes 125 M, so that three
blocks of it must go before that policy has paid for itself, and one for ``policy_resnet6``.

The last stage of policy_resnet10 reads 15 MB of weights for the 16 pixels that are left there of a halved
image: for one image at a time that is a third of its time and a quarter of its FLOPs.

Source: Wu et al., "BlockDrop", CVPR 2018, for policy_resnet10. Both take the weights of timm's ``resnet18``
for stem and blocks; the paper starts from such weights.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models._registry import generate_default_cfgs
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.resnet import BasicBlock, ResNet

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["policy_resnet6", "policy_resnet8", "policy_resnet10"]

_IMAGENET: dict[str, Any] = {
    "num_classes": 1000,
    "interpolation": "bilinear",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
}
# torchvision's weights, as in the paper's day.
_RESNET18: dict[str, Any] = {
    **_IMAGENET,
    "url": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
    "hf_hub_id": "timm/resnet18.tv_in1k",
    "input_size": (3, 224, 224),
    "crop_pct": 0.875,
    "license": "bsd-3-clause",
}
default_cfgs = generate_default_cfgs(
    {
        "policy_resnet10.tv_resnet18": {
            **_RESNET18,
            "pool_size": (7, 7),
            "first_conv": "conv1",
            "classifier": "fc",
        },
        "policy_resnet8.tv_resnet18": {
            **_RESNET18,
            "pool_size": (14, 14),
            "first_conv": "stem.conv1.conv",
            "classifier": "head.fc",
        },
        "policy_resnet6.untrained": {
            **_IMAGENET,
            "url": "",
            "input_size": (3, 32, 32),
            "pool_size": (4, 4),
            "crop_pct": 1.0,
            "first_conv": "stem.conv",
            "classifier": "head.fc",
        },
    }
)

_RESNET8 = ByoModelCfg(
    blocks=(
        ByoBlockCfg(type="basic", d=1, c=64, s=1, gs=0, br=1.0),
        ByoBlockCfg(type="basic", d=1, c=128, s=2, gs=0, br=1.0),
        ByoBlockCfg(type="basic", d=1, c=256, s=2, gs=0, br=1.0),
    ),
    stem_type="7x7",
    stem_pool="maxpool",
    stem_chs=64,
    zero_init_last=False,
)
_RESNET6 = ByoModelCfg(
    blocks=(
        ByoBlockCfg(type="basic", d=1, c=32, s=2, gs=0, br=1.0),
        ByoBlockCfg(type="basic", d=1, c=64, s=2, gs=0, br=1.0),
    ),
    stem_type="3x3",
    stem_pool="",
    stem_chs=16,
    zero_init_last=False,
)


@register_model
def policy_resnet10(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-10 with basic blocks [1, 1, 1, 1]; its pretrained trunk is cut out of a ResNet-18."""
    options = {"block": BasicBlock, "layers": (1, 1, 1, 1), **kwargs}
    model: ResNet = build_model_with_cfg(
        ResNet,
        "policy_resnet10",
        pretrained,
        pretrained_filter_fn=_trunk_of_resnet18,
        pretrained_strict=False,
        **options,
    )
    return model


@register_model
def policy_resnet8(pretrained: bool = False, **kwargs: Any) -> ByobNet:
    """Three stages of one basic block; its pretrained trunk is cut out of a ResNet-18."""
    model: ByobNet = build_model_with_cfg(
        ByobNet,
        "policy_resnet8",
        pretrained,
        model_cfg=_RESNET8,
        pretrained_filter_fn=_stages_of_resnet18,
        pretrained_strict=False,
        **kwargs,
    )
    return model


@register_model
def policy_resnet6(pretrained: bool = False, **kwargs: Any) -> ByobNet:
    """Five convolutions and a classifier, meant for images of 28 to 64 px, untrained."""
    model: ByobNet = build_model_with_cfg(ByobNet, "policy_resnet6", pretrained, model_cfg=_RESNET6, **kwargs)
    return model


def _trunk_of_resnet18(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """What the two networks share; the classifier belongs to four more blocks and stays behind."""
    own = model.state_dict()
    return {name: tensor for name, tensor in state.items() if name in own and not name.startswith("fc.")}


_NAMES = (
    (r"^layer(\d)\.", lambda found: f"stages.{int(found[1]) - 1}."),
    (r"^(conv|bn)1\.", r"stem.conv1.\1."),
    (r"\.downsample\.0\.", ".shortcut.conv."),
    (r"\.downsample\.1\.", ".shortcut.bn."),
    (r"^(stages.*)\.(conv|bn)(\d)\.", r"\1.conv\3_kxk.\2."),
)
"""Of a tensor of ResNet-18's, and what timm's ByobNet calls it."""


def _stages_of_resnet18(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """What the two networks share, under the names of the second."""
    own, found = model.state_dict(), {}
    for name, tensor in state.items():
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        if name in own:
            found[name] = tensor
    return found

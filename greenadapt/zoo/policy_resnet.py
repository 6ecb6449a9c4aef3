"""Trunks of policy networks that timm lacks: BlockDrop's for ImageNet, and one that costs next to nothing.

    policy_resnet10   stem of a ResNet-18 and the first block of each of its stages; 236 M MAC at 112 px
    policy_resnet6    a stem of stride 2 and two blocks of 32 and 64 channels; 2 M MAC at 32 px

BlockDrop's policy for CIFAR is ``cifar_resnet8``, 12 M MAC at 32 px. A ResNet-56 takes 125 M, so that three
blocks of it must go before that policy has paid for itself, and one for ``policy_resnet6``.

Source: Wu et al., "BlockDrop", CVPR 2018, for policy_resnet10. It is timm's own ResNet class throughout, so
that the weights of timm's ``resnet18`` fit its stem and blocks by name; the paper starts from such weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models._registry import generate_default_cfgs
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.resnet import BasicBlock, ResNet

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["policy_resnet6", "policy_resnet10"]

_IMAGENET: dict[str, Any] = {
    "num_classes": 1000,
    "interpolation": "bilinear",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
}
default_cfgs = generate_default_cfgs(
    {
        # torchvision's weights, as in the paper's day.
        "policy_resnet10.tv_resnet18": {
            **_IMAGENET,
            "url": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
            "hf_hub_id": "timm/resnet18.tv_in1k",
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "first_conv": "conv1",
            "classifier": "fc",
            "license": "bsd-3-clause",
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
def policy_resnet6(pretrained: bool = False, **kwargs: Any) -> ByobNet:
    """Five convolutions and a classifier, meant for images of 28 to 64 px, untrained."""
    model: ByobNet = build_model_with_cfg(ByobNet, "policy_resnet6", pretrained, model_cfg=_RESNET6, **kwargs)
    return model


def _trunk_of_resnet18(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """What the two networks share; the classifier belongs to four more blocks and stays behind."""
    own = model.state_dict()
    return {name: tensor for name, tensor in state.items() if name in own and not name.startswith("fc.")}

"""The trunk of BlockDrop's ImageNet policy network: the first block of each stage of a ResNet-18.

Source: Wu et al., "BlockDrop", CVPR 2018. It is timm's own ResNet class throughout, so the weights of timm's
``resnet18`` fit its stem and blocks by name.
"""

from typing import Any

from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models._registry import generate_default_cfgs
from timm.models.resnet import BasicBlock, ResNet

__all__ = ["policy_resnet10"]

default_cfgs = generate_default_cfgs(
    {
        "policy_resnet10.untrained": {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "pool_size": (7, 7),
            "crop_pct": 0.875,
            "interpolation": "bilinear",
            "mean": IMAGENET_DEFAULT_MEAN,
            "std": IMAGENET_DEFAULT_STD,
            "first_conv": "conv1",
            "classifier": "fc",
        }
    }
)


@register_model
def policy_resnet10(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-10 with basic blocks [1, 1, 1, 1], untrained."""
    options = {"block": BasicBlock, "layers": (1, 1, 1, 1), **kwargs}
    model: ResNet = build_model_with_cfg(ResNet, "policy_resnet10", pretrained, **options)
    return model

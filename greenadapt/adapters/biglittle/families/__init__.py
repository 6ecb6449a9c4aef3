"""Which stages of which networks convert, and how a block of theirs halves.

base.py       what a family answers, and stages whose blocks are left as they are
resnets.py    timm's ResNet, with all of its blocks
small.py      the CIFAR ResNets of greenadapt
convnets.py   RegNet, ResNetV2, NFNet, ConvNeXt
inverted.py   EfficientNet, MobileNetV2 to V4
misfits.py    why the rule does not fit the others
"""

from __future__ import annotations

from torch import nn

from greenadapt.adapters.biglittle.families.base import Family, Misfit, Stage
from greenadapt.adapters.biglittle.families.misfits import altered, why_no_family
from greenadapt.errors import ModelError

__all__ = ["Family", "Stage", "family_of"]

_DEEPER = "Choose a network with two or more blocks a stage, such as resnet50 or cifar_resnet20."


def family_of(model: nn.Module) -> Family:
    """The family that a model belongs to.

    Raises:
        ModelError: The Big-Little rule fits none of its kind, or not this one.
    """
    family = _known(model)
    if family is None:
        raise ModelError(
            f"Big-Little does not fit {type(model).__name__}.",
            f"It converts stages of residual blocks at a falling resolution; {why_no_family(model)}.",
            "Choose a ResNet, RegNet, NFNet, ConvNeXt or EfficientNet of timm's: greenadapt models list "
            "'resnet*'.",
        )
    misfit = altered(model) or family.check(model)
    if misfit is None and all(len(stage.blocks) < 2 for stage in family.stages(model)):
        misfit = Misfit("every stage but the last has fewer than two blocks", _DEEPER)
    if misfit is not None:
        why = misfit.why
        raise ModelError(
            "Big-Little does not fit this network.", f"{why[0].upper()}{why[1:]}.", misfit.instead
        )
    return family


def _known(model: nn.Module) -> Family | None:
    from timm.models.convnext import ConvNeXt
    from timm.models.efficientnet import EfficientNet
    from timm.models.mobilenetv3 import MobileNetV3
    from timm.models.nfnet import NormFreeNet
    from timm.models.regnet import RegNet
    from timm.models.resnet import ResNet
    from timm.models.resnetv2 import ResNetV2

    from greenadapt.adapters.biglittle.families import convnets, inverted, resnets, small
    from greenadapt.zoo.cifar_resnet import CifarResNet

    kinds: list[tuple[type[nn.Module], type]] = [
        (CifarResNet, small.SmallResNets),
        (ResNet, resnets.TimmResNets),
        (RegNet, convnets.RegNets),
        (ResNetV2, convnets.ResNetsV2),
        (NormFreeNet, convnets.NormFreeNets),
        (ConvNeXt, convnets.ConvNeXts),
        (EfficientNet, inverted.InvertedResiduals),
        (MobileNetV3, inverted.InvertedResiduals),
    ]
    return next((family() for kind, family in kinds if isinstance(model, kind)), None)

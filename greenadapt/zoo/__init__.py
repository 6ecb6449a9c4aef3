"""Networks of the papers that timm lacks; importing this package registers them with timm.

    greenadapt.zoo
    |- bl_blocks       chains of their bottleneck blocks
    |- bl_names        names of the authors' published Big-Little checkpoints, translated
    |- bl_resnet       bl_resnet50, 101, 152, and bl_resnext..., bl_seresnext...: the Big-Little paper's
    |- bl_stages       what they are made of: two branches of a stage, and of the stem
    |- cifar_block     the residual block and its two parameter-free shortcuts
    |- cifar_resnet    cifar_resnet8, 14, 20, 32, 44, 56, 110: for images of 28 or 32 px
    `- policy_resnet   policy_resnet10: the trunk of BlockDrop's ImageNet policy; policy_resnet8, 6: cheaper

After ``import greenadapt.zoo``, ``timm.create_model("cifar_resnet20")`` works like any name of timm's own.
"""

from greenadapt.zoo.bl_blocks import BigLittleShape
from greenadapt.zoo.bl_resnet import BL_SHAPES, BigLittleResNet
from greenadapt.zoo.cifar_block import SHORTCUTS, CifarBasicBlock
from greenadapt.zoo.cifar_resnet import CifarResNet
from greenadapt.zoo.policy_resnet import policy_resnet6, policy_resnet8, policy_resnet10

__all__ = [
    "BL_SHAPES",
    "SHORTCUTS",
    "BigLittleResNet",
    "BigLittleShape",
    "CifarBasicBlock",
    "CifarResNet",
    "policy_resnet6",
    "policy_resnet8",
    "policy_resnet10",
]

"""The networks of the Big-Little paper: bL-ResNet, bL-ResNeXt and bL-SEResNeXt.

    image ─ conv1 bn1 act1 ─ maxpool ─ layer1 ─ layer2 ─ layer3 ─ layer4 ─ global_pool ─ fc
    size         1/2           1/4      1/8      1/16     1/16     1/32
                              (stem)   [branches, fusion] each     plain

It is timm's ResNet, with a `BigLittleStem` where that has its max-pooling, two branches and a fusion block in
the first three stages, and averaged shortcuts. The fusion block halves for the next stage in the first two.
Tensors are named as in a ResNet that `greenadapt.wrap(..., "biglittle")` converted; the names of the authors'
published checkpoints are translated by `greenadapt.zoo.bl_names`.

Source: Chen et al., "Big-Little Net", ICLR 2019, and the authors' published networks, whose depths are not
those of a ResNet: [4, 8, 18, 3] and [5, 12, 30, 3] blocks for 101 and 152 layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import register_model, resolve_pretrained_cfg
from timm.models._builder import build_model_with_cfg
from timm.models._registry import generate_default_cfgs
from timm.models.resnet import Bottleneck, ResNet
from torch import nn

from greenadapt.errors import ModelError
from greenadapt.zoo.bl_blocks import STEM_WIDTH, BigLittleShape, block_options, check_shape, pool, stage
from greenadapt.zoo.bl_names import translated
from greenadapt.zoo.bl_stages import BigLittleStem

__all__ = ["BL_SHAPES", "BigLittleResNet", "BigLittleShape"]

_FUSION_STRIDES = {"layer1": 2, "layer2": 2, "layer3": 1}
_REDUCTIONS = {"act1": 2, "layer1": 8, "layer2": 16, "layer3": 16, "layer4": 32}
_PUBLISHED = "https://github.com/IBM/BigLittleNet"


BL_SHAPES = {
    "bl_resnet50": BigLittleShape((3, 4, 6, 3)),
    "bl_resnet101": BigLittleShape((4, 8, 18, 3)),
    "bl_resnet152": BigLittleShape((5, 12, 30, 3)),
    "bl_resnext50_32x4d": BigLittleShape((3, 4, 6, 3), 32, 4),
    "bl_resnext101_32x4d": BigLittleShape((4, 8, 18, 3), 32, 4),
    "bl_resnext101_64x4d": BigLittleShape((4, 8, 18, 3), 64, 4),
    "bl_seresnext50_32x4d": BigLittleShape((3, 4, 6, 3), 32, 4, True),
    "bl_seresnext101_32x4d": BigLittleShape((4, 8, 18, 3), 32, 4, True),
}
"""The networks that are registered with timm, by name."""


class BigLittleResNet(ResNet):
    """A bL-ResNet, -ResNeXt or -SEResNeXt; answers everything that timm's ResNet does.

    Args:
        layers: Blocks of the four stages; two or more in the first three.
        alpha: The little branches have 1/alpha of the width.
        beta: They have 1/beta of the depth, and at least one block.
        num_classes: Classes; 0 for no classifier.
        in_chans: Channels of the image.
        global_pool: Pooling before the classifier, a name of timm's ("avg", "max", ...; "" for none).
        cardinality: Groups of the 3x3 convolutions; a little branch has 1/alpha of them.
        base_width: Channels of a group in a stage of 64.
        squeeze: Squeeze-and-excitation in every block.
        drop_rate: Dropout before the classifier, a probability.
        zero_init_last: Start every block as its shortcut.

    Raises:
        OptionError: alpha does not divide the widths, beta is below 1, or a stage has too few blocks.
    """

    if TYPE_CHECKING:  # TorchScript would read these.
        feature_info: list[dict[str, Any]]
        maxpool: Any
        layer4: Any

    def __init__(
        self,
        layers: tuple[int, int, int, int],
        alpha: int = 2,
        beta: int = 4,
        num_classes: int = 1000,
        in_chans: int = 3,
        global_pool: str = "avg",
        cardinality: int = 1,
        base_width: int = 64,
        squeeze: bool = False,
        drop_rate: float = 0.0,
        zero_init_last: bool = True,
    ) -> None:
        shape = BigLittleShape(layers, cardinality, base_width, squeeze)
        check_shape(shape, alpha, beta)
        # timm builds the frame: its own first stages are one block each, and are replaced below.
        super().__init__(
            Bottleneck,  # type: ignore[arg-type]
            (1, 1, 1, shape.layers[3]),
            num_classes=num_classes,
            in_chans=in_chans,
            global_pool=global_pool,
            drop_rate=drop_rate,
            avg_down=True,
            zero_init_last=zero_init_last,
            **block_options(shape),
        )
        self.shape = shape
        self.alpha = alpha
        self.beta = beta
        self._split_stages()
        self.init_weights(zero_init_last)

    def _split_stages(self) -> None:
        self.maxpool = BigLittleStem(STEM_WIDTH, self.alpha)
        for number, (name, stride) in enumerate(_FUSION_STRIDES.items()):
            setattr(self, name, stage(number, self.shape, self.alpha, self.beta, stride))
        self.layer4[0].downsample[0] = pool()
        for info in self.feature_info:
            info["reduction"] = _REDUCTIONS[info["module"]]

    @property
    def model_args(self) -> dict[str, Any]:
        """Options of the constructor that the weights do not tell, to build the network again."""
        args: dict[str, Any] = {"alpha": self.alpha, "beta": self.beta}
        if self.global_pool.pool_type != "avg":
            args["global_pool"] = self.global_pool.pool_type
        if self.drop_rate:
            args["drop_rate"] = self.drop_rate
        return args

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def init_weights(self, zero_init_last: bool = True) -> None:
        """Draw the convolutions anew, as the authors do: Kaiming normal over the fan-out, no bias.

        Args:
            zero_init_last: Also zero the last norm of every block.
        """
        super().init_weights(zero_init_last)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.zeros_(module.bias)


_CFG: dict[str, Any] = {
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
    "license": "apache-2.0",
    "origin_url": _PUBLISHED,
    "paper_name": "Big-Little Net",
    "notes": (f"The authors' are at {_PUBLISHED}: download theirs, and open the file as ibm:FILE.pth.tar.",),
}
default_cfgs = generate_default_cfgs({f"{name}.untrained": dict(_CFG) for name in BL_SHAPES})


def _create(variant: str, pretrained: bool, **kwargs: Any) -> BigLittleResNet:
    given = {key: kwargs[key] for key in ("pretrained_cfg", "pretrained_cfg_overlay") if key in kwargs}
    cfg = resolve_pretrained_cfg(variant, **given)
    if pretrained and not (cfg.has_weights or cfg.state_dict or cfg.source):
        raise ModelError(
            f"There are no pretrained weights for {variant}.",
            " ".join(cfg.notes or ()),
            "Pass pretrained=False for random weights.",
        )
    options = {**BL_SHAPES[variant]._asdict(), "pretrained_filter_fn": _ours, **kwargs}
    model: BigLittleResNet = build_model_with_cfg(BigLittleResNet, variant, pretrained, **options)
    return model


def _ours(tensors: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    return translated(tensors)


@register_model
def bl_resnet50(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """ResNet-50's depth; 26,694,568 parameters and 2.854 GMACs of convolutions at 224 px."""
    return _create("bl_resnet50", pretrained, **kwargs)


@register_model
def bl_resnet101(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """Blocks [4, 8, 18, 3]; 41,851,560 parameters."""
    return _create("bl_resnet101", pretrained, **kwargs)


@register_model
def bl_resnet152(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """Blocks [5, 12, 30, 3]."""
    return _create("bl_resnet152", pretrained, **kwargs)


@register_model
def bl_resnext50_32x4d(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """ResNeXt-50's depth, 32 groups of 4; 26,192,168 parameters."""
    return _create("bl_resnext50_32x4d", pretrained, **kwargs)


@register_model
def bl_resnext101_32x4d(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """Blocks [4, 8, 18, 3], 32 groups of 4; 41,512,744 parameters."""
    return _create("bl_resnext101_32x4d", pretrained, **kwargs)


@register_model
def bl_resnext101_64x4d(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """Blocks [4, 8, 18, 3], 64 groups of 4."""
    return _create("bl_resnext101_64x4d", pretrained, **kwargs)


@register_model
def bl_seresnext50_32x4d(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """`bl_resnext50_32x4d` with squeeze-and-excitation; 28,767,120 parameters."""
    return _create("bl_seresnext50_32x4d", pretrained, **kwargs)


@register_model
def bl_seresnext101_32x4d(pretrained: bool = False, **kwargs: Any) -> BigLittleResNet:
    """`bl_resnext101_32x4d` with squeeze-and-excitation."""
    return _create("bl_seresnext101_32x4d", pretrained, **kwargs)

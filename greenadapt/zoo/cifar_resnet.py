"""ResNets for 28 and 32 px images, depth 6n + 2, with parameter-free shortcuts.

    image -> conv1 bn1 act1 -> layer1 -> layer2 -> layer3 -> global_pool -> fc
    channels        16           16        32        64          64
    size            1            1         1/2       1/4                          n blocks in each layer

Source: He et al., "Deep Residual Learning", CVPR 2016, section 4.2. The first block of layer2 and of layer3
halves the image and doubles the channels; `greenadapt.zoo.cifar_block` has the two shortcuts that do so.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.classifier import create_classifier
from timm.models import register_model
from timm.models._builder import build_model_with_cfg
from timm.models._features import feature_take_indices
from timm.models._manipulate import checkpoint_seq
from timm.models._registry import generate_default_cfgs
from torch import Tensor, nn

from greenadapt.errors import OptionError
from greenadapt.zoo.cifar_block import SHORTCUTS, CifarBasicBlock

__all__ = ["SHORTCUTS", "CifarBasicBlock", "CifarResNet"]

_WIDTHS = (16, 32, 64)
_STAGES = ("layer1", "layer2", "layer3")


def _stage(inplanes: int, planes: int, depth: int, stride: int, shortcut: str) -> nn.Sequential:
    blocks = []
    for i in range(depth):
        first = i == 0 and (stride != 1 or inplanes != planes)
        downsample = SHORTCUTS[shortcut](inplanes, planes, stride) if first else None
        blocks.append(
            CifarBasicBlock(inplanes if i == 0 else planes, planes, stride if i == 0 else 1, downsample)
        )
    return nn.Sequential(*blocks)


class CifarResNet(nn.Module):
    """A CIFAR ResNet that answers the same calls as ``timm.models.resnet.ResNet``.

    Args:
        layers: Blocks in each of the three stages.
        num_classes: Classes; 0 for no classifier.
        in_chans: Channels of the image.
        global_pool: Pooling before the classifier, a name of timm's ("avg", "max", ...; "" for none).
        shortcut: "avgpool" (BlockDrop's networks) or "subsample" (the public CIFAR-10 weights).
        drop_rate: Dropout before the classifier, a probability.
        zero_init_last: Start every block as its shortcut.

    Raises:
        OptionError: The shortcut is not one of the two.
    """

    fc: nn.Module
    global_pool: Any

    def __init__(
        self,
        layers: Sequence[int],
        num_classes: int = 10,
        in_chans: int = 3,
        global_pool: str = "avg",
        shortcut: str = "avgpool",
        drop_rate: float = 0.0,
        zero_init_last: bool = False,
    ) -> None:
        super().__init__()
        if shortcut not in SHORTCUTS:
            raise OptionError(
                "This shortcut of the CIFAR ResNet is not known.",
                f"shortcut={shortcut!r}",
                f"Use one of: {', '.join(SHORTCUTS)}.",
            )
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.shortcut = shortcut
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.conv1 = nn.Conv2d(in_chans, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.act1 = nn.ReLU(inplace=True)
        self.feature_info = [{"num_chs": _WIDTHS[0], "reduction": 1, "module": "act1"}]
        inplanes = _WIDTHS[0]
        for i, (name, planes, depth) in enumerate(zip(_STAGES, _WIDTHS, layers, strict=True)):
            self.add_module(name, _stage(inplanes, planes, depth, 1 if i == 0 else 2, shortcut))
            self.feature_info.append({"num_chs": planes, "reduction": 2**i, "module": name})
            inplanes = planes
        self.num_features = self.head_hidden_size = inplanes
        self.reset_classifier(num_classes, global_pool)
        self.init_weights(zero_init_last)

    @property
    def model_args(self) -> dict[str, Any]:
        """Options of the constructor that the weights do not tell, to build the network again."""
        args: dict[str, Any] = {"shortcut": self.shortcut}
        if self.global_pool.pool_type != "avg":
            args["global_pool"] = self.global_pool.pool_type
        if self.drop_rate:
            args["drop_rate"] = self.drop_rate
        return args

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def init_weights(self, zero_init_last: bool = False) -> None:
        """Draw the convolutions anew: Kaiming normal over the fan-out (He et al., 2015).

        Args:
            zero_init_last: Also zero the last norm of every block.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif zero_init_last and isinstance(module, CifarBasicBlock):
                module.zero_init_last()

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        """Patterns that group the parameters by stage (``coarse``) or by block."""
        return {"stem": r"^conv1|^bn1", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute the blocks' activations in the backward pass instead of keeping them."""
        self.grad_checkpointing = enable

    @torch.jit.ignore  # type: ignore[untyped-decorator]
    def get_classifier(self, name_only: bool = False) -> nn.Module | str:
        """The classifier, or its name."""
        return "fc" if name_only else self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Give the network a fresh classifier.

        Args:
            num_classes: Classes; 0 for no classifier.
            global_pool: Pooling before it; None keeps the present one.
        """
        pool_type = self.global_pool.pool_type if global_pool is None else global_pool
        pool, fc = create_classifier(self.num_features, num_classes, pool_type=pool_type)
        like = self.conv1.weight
        self.num_classes = num_classes
        self.global_pool = pool.train(self.training)
        self.fc = fc.to(device=like.device, dtype=like.dtype).train(self.training)
        self.head_hidden_size = self.num_features * pool.feat_mult()

    def _stages(self) -> list[nn.Sequential]:
        return [getattr(self, name) for name in _STAGES]

    def _run_stage(self, stage: nn.Sequential, x: Tensor) -> Tensor:
        recompute = self.grad_checkpointing and not torch.jit.is_scripting()  # type: ignore[attr-defined]
        out: Tensor = checkpoint_seq(stage, x) if recompute else stage(x)
        return out

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Features on the way: the stem's is number 0, the three stages' are 1 to 3.

        Args:
            x: Images [B, C, H, W].
            indices: Which features; an int means the last so many, None all.
            norm: Ignored.
            stop_early: Do not run past the last feature asked for.
            output_fmt: "NCHW", the only layout.
            intermediates_only: Leave out the final feature.

        Returns:
            The intermediates, or the final feature [B, C, H, W] and the intermediates.

        Raises:
            OptionError: Another layout was asked for.
        """
        if output_fmt != "NCHW":
            raise OptionError(
                "This layout of features is not offered.", f"output_fmt={output_fmt!r}", "Use 'NCHW'."
            )
        take, last = feature_take_indices(len(self.feature_info), indices)
        x = self.act1(self.bn1(self.conv1(x)))
        found = [x] if 0 in take else []
        stages = self._stages()
        for number, stage in enumerate(stages[:last] if stop_early else stages, start=1):
            x = self._run_stage(stage, x)
            if number in take:
                found.append(x)
        return found if intermediates_only else (x, found)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Throw away what the wanted features do not need.

        Args:
            indices: As in `forward_intermediates`.
            prune_norm: Ignored, there is none.
            prune_head: Throw away the classifier too; it goes anyway once the last stage is gone.

        Returns:
            The numbers of the features kept.
        """
        take, last = feature_take_indices(len(self.feature_info), indices)
        for name in _STAGES[last:]:
            setattr(self, name, nn.Sequential())
        if last < len(_STAGES):
            self.num_features = int(self.feature_info[last]["num_chs"])  # type: ignore[call-overload]
        if prune_head or last < len(_STAGES):
            self.reset_classifier(0, "")
        return list(take)

    def forward_features(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] to the last stage's features [B, 64, ceil(H / 4), ceil(W / 4)]."""
        x = self.act1(self.bn1(self.conv1(x)))
        for stage in self._stages():
            x = self._run_stage(stage, x)
        return x

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Features [B, C, H, W] to logits [B, num_classes]; ``pre_logits`` stops before the classifier."""
        x = self.global_pool(x)
        if self.drop_rate:
            x = F.dropout(x, p=self.drop_rate, training=self.training)
        return x if pre_logits else self.fc(x)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] to logits [B, num_classes]."""
        return self.forward_head(self.forward_features(x))


_CFG: dict[str, Any] = {
    "url": "",
    "num_classes": 10,
    "input_size": (3, 32, 32),
    "pool_size": (8, 8),
    "crop_pct": 1.0,
    "interpolation": "bilinear",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "first_conv": "conv1",
    "classifier": "fc",
}
_DEPTHS = (8, 14, 20, 32, 44, 56, 110)
default_cfgs = generate_default_cfgs({f"cifar_resnet{depth}.untrained": dict(_CFG) for depth in _DEPTHS})


def _create(variant: str, blocks: int, pretrained: bool, **kwargs: Any) -> CifarResNet:
    options = {"layers": (blocks,) * 3, "feature_cfg": {"out_indices": (0, 1, 2, 3)}, **kwargs}
    model: CifarResNet = build_model_with_cfg(CifarResNet, variant, pretrained, **options)
    return model


@register_model
def cifar_resnet8(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Three blocks; the trunk of BlockDrop's CIFAR policy."""
    return _create("cifar_resnet8", 1, pretrained, **kwargs)


@register_model
def cifar_resnet14(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Six blocks."""
    return _create("cifar_resnet14", 2, pretrained, **kwargs)


@register_model
def cifar_resnet20(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Nine blocks."""
    return _create("cifar_resnet20", 3, pretrained, **kwargs)


@register_model
def cifar_resnet32(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Fifteen blocks; 464,154 parameters with ten classes."""
    return _create("cifar_resnet32", 5, pretrained, **kwargs)


@register_model
def cifar_resnet44(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Twenty-one blocks."""
    return _create("cifar_resnet44", 7, pretrained, **kwargs)


@register_model
def cifar_resnet56(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Twenty-seven blocks."""
    return _create("cifar_resnet56", 9, pretrained, **kwargs)


@register_model
def cifar_resnet110(pretrained: bool = False, **kwargs: Any) -> CifarResNet:
    """Fifty-four blocks; 1,727,962 parameters with ten classes."""
    return _create("cifar_resnet110", 18, pretrained, **kwargs)

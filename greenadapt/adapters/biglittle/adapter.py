"""Converts a network into its Big-Little counterpart; every weight of the base is inherited.

Of a stage with n blocks, 0..n-2 become the big branch at half resolution and n-1 the fusion. The stage
still is an ``nn.Sequential`` of the model, so that the base's own forward, and with it timm's whole model
API, runs the new architecture.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.adapters.biglittle.families import Family, family_of, last_activation, without_last_activation
from greenadapt.adapters.biglittle.objective import BigLittleObjective
from greenadapt.adapters.retrofit import Retrofit, become
from greenadapt.errors import OptionError
from greenadapt.interfaces import Description
from greenadapt.zoo.bl_stages import BigLittleStem, Branches


class BigLittle(Retrofit):
    """What Big-Little adds to a model's class: its options. The architecture is in the modules."""

    greenadapt_config: BigLittleConfig
    greenadapt_inherited: int
    """Parameters of the base, all of them kept."""


class BigLittleAdapter:
    """The adapter ``biglittle``."""

    name = "biglittle"
    config = BigLittleConfig

    def wrap(self, model: nn.Module, config: BigLittleConfig) -> nn.Module:
        """Converts `model` in place.

        Raises:
            ModelError: The rule does not fit the network.
            OptionError: alpha does not divide its widths.
        """
        family = family_of(model)
        _check_widths(model, family, config)
        network: Any = model
        first = next(model.parameters())
        inherited = sum(p.numel() for p in model.parameters())
        if isinstance(getattr(network, "maxpool", None), nn.MaxPool2d):
            network.maxpool = stem = BigLittleStem(_width(network.layer1[0], "in"), config.alpha)
            stem.become_identity()
        for name, stride in family.fusion_strides.items():
            setattr(model, name, _converted(getattr(model, name), stride, family, config))
        model.to(first.device, first.dtype)
        for info in network.feature_info:
            info["reduction"] = family.reductions.get(info["module"], info["reduction"])
        become(model, BigLittle)
        network.greenadapt_config = config
        network.greenadapt_inherited = inherited
        return model

    def describe(self, model: nn.Module) -> Description:
        """Each converted stage: blocks of the big and the little branch, widths, fusion stride."""
        assert isinstance(model, BigLittle)
        family = family_of_converted(model)
        changes = []
        for name, stride in family.fusion_strides.items():
            branches: Branches = getattr(model, name)[0]
            blocks, little = len(branches.big) + 1, len(branches.little)
            thin, out = branches.expand[0].in_channels, branches.expand[0].out_channels
            changes += [
                f"- {name}: {blocks} blocks of {out} channels",
                f"+ {name}: big {blocks - 1} blocks of {out} channels at half resolution, little {little} "
                f"block(s) of {thin} channels, fusion 1 block of stride {stride}",
            ]
        after = sum(p.numel() for p in model.parameters())
        return Description(
            title=f"{type(model).retrofit_base.__name__} as Big-Little Net, {model.greenadapt_config}",
            changes=changes,
            parameters_before=model.greenadapt_inherited,
            parameters_after=after,
            notes=["a new architecture: its accuracy is lost until it is fine-tuned"],
        )

    def objective(self, model: nn.Module, teacher: nn.Module | None, epochs: int) -> Any:
        """Re-estimated batch norms, then labels and the teacher's logits."""
        return BigLittleObjective(model, teacher)


def family_of_converted(model: nn.Module | BigLittle) -> Family:
    """The family of a network that is converted already, known by its stages."""
    from greenadapt.adapters.biglittle.families import SmallResNets, TimmResNets

    return TimmResNets() if hasattr(model, "layer4") else SmallResNets()


def _converted(stage: nn.Sequential, stride: int, family: Family, config: BigLittleConfig) -> nn.Sequential:
    *body, fusion = stage
    act = last_activation(fusion)
    out = _width(fusion, "out")
    thin = out // config.alpha
    little = [
        family.thin(fusion, _width(body[0], "in") if i == 0 else thin, thin)
        for i in range(config.little_depth(len(stage)))
    ]
    big = [family.halve(body[0]), *body[1:]]
    if len(big) > 1:
        # The published networks keep the activation where the big branch is a single block.
        without_last_activation(big[-1])
    branches = Branches(nn.Sequential(*big), nn.Sequential(*little), thin, out, act)
    branches.close_little()
    return nn.Sequential(branches, family.halve(fusion) if stride == 2 else fusion)


def _check_widths(model: nn.Module, family: Family, config: BigLittleConfig) -> None:
    for name in family.fusion_strides:
        block = getattr(model, name)[-1]
        width = _width(block, "out") // type(block).expansion
        if width % config.alpha:
            works = [a for a in (1, 2, 4, 8, 16) if width % a == 0]
            raise OptionError(
                f"alpha does not divide the width of {name}.",
                f"alpha={config.alpha}, width {width}.",
                f"Use one of: {', '.join(map(str, works))}.",
            )


def _width(block: nn.Module, side: str) -> int:
    convs = [m for name, m in block.named_children() if name.startswith("conv") and isinstance(m, nn.Conv2d)]
    return convs[0].in_channels if side == "in" else convs[-1].out_channels


adapter = BigLittleAdapter()

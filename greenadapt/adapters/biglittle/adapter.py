"""Converts a network into its Big-Little counterpart; every weight of the base is inherited.

Of a stage with n blocks, 0..n-2 become the big branch at half resolution and n-1 the fusion. Both stand where
the stage's blocks stood, so that the base's own forward, and with it timm's whole model API, runs the new
architecture.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from greenadapt.adapters.biglittle.branching import Converted, check_widths, convert
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.adapters.biglittle.depths import use_paper_depth
from greenadapt.adapters.biglittle.families import family_of
from greenadapt.adapters.biglittle.objective import BigLittleObjective
from greenadapt.adapters.retrofit import Retrofit, become
from greenadapt.errors import ModelError
from greenadapt.interfaces import Description
from greenadapt.zoo.bl_stages import BigLittleStem


class BigLittle(Retrofit):
    """What Big-Little adds to a model's class: its options. The architecture is in the modules."""

    greenadapt_config: BigLittleConfig
    greenadapt_parameters: int
    """Parameters of the base."""
    greenadapt_stages: tuple[Converted, ...]
    """What became of each stage that was converted."""


class BigLittleAdapter:
    """The adapter ``biglittle``."""

    name = "biglittle"
    config = BigLittleConfig

    def wrap(self, model: nn.Module, config: BigLittleConfig) -> nn.Module:
        """Converts `model` in place.

        Raises:
            ModelError: The rule does not fit the network.
            OptionError: alpha does not divide its widths, or depth or init do not fit it.
        """
        if isinstance(model, BigLittle):
            raise ModelError(
                "This network is a Big-Little network already.",
                str(model.greenadapt_config),
                "Wrap its base.",
            )
        family = family_of(model)
        check_widths(family, model, config)
        network: Any = model
        first = next(model.parameters())
        parameters = sum(p.numel() for p in model.parameters())
        if config.depth == "paper":
            use_paper_depth(model)
        stem = family.replace_stem(model, config.alpha)
        if isinstance(stem, BigLittleStem) and config.init != "random":
            stem.become_identity()
        stages = convert(family, model, config)
        model.to(first.device, first.dtype)
        _tell_reductions(network, stages)
        become(model, BigLittle)
        network.greenadapt_config = config
        network.greenadapt_parameters = parameters
        network.greenadapt_stages = tuple(stages)
        return model

    def describe(self, model: nn.Module) -> Description:
        """Each converted stage: blocks of the big and the little branch, widths, fusion stride."""
        assert isinstance(model, BigLittle)
        changes = []
        for stage in model.greenadapt_stages:
            changes += [
                f"- {stage.name}: {stage.blocks} blocks of {stage.width} channels",
                f"+ {stage.name}: big {stage.blocks - 1} blocks of {stage.width} channels at half "
                f"resolution, little {stage.little} block(s) of {stage.thin} channels, fusion 1 block of "
                f"stride {stage.stride}",
            ]
        after = sum(p.numel() for p in model.parameters())
        return Description(
            title=f"{type(model).retrofit_base.__name__} as Big-Little Net, {model.greenadapt_config}",
            changes=changes,
            parameters_before=model.greenadapt_parameters,
            parameters_after=after,
            notes=["a new architecture: its accuracy is lost until it is fine-tuned"],
        )

    def objective(self, model: nn.Module, teacher: nn.Module | None, epochs: int) -> Any:
        """Re-estimated batch norms, then labels and the teacher's logits."""
        return BigLittleObjective(model, teacher)


def _tell_reductions(model: Any, stages: list[Converted]) -> None:
    # A fusion block that shrinks the image for the next stage has done so where its own stage is tapped.
    strides = {stage.name: stage.stride for stage in stages}
    for info in model.feature_info:
        info["reduction"] *= strides.get(info["module"], 1)


adapter = BigLittleAdapter()

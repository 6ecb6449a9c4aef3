"""Converts a network into its Big-Little counterpart; every weight of the base is inherited.

Of a stage with n blocks, 0..n-2 become the big branch at half resolution and n-1 the fusion. Both stand where
the stage's blocks stood, so that the base's own forward, and with it timm's whole model API, runs the new
architecture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.biglittle.branching import Converted, check_widths, convert
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.adapters.biglittle.depths import use_paper_depth
from greenadapt.adapters.biglittle.families import family_of
from greenadapt.adapters.biglittle.objective import BigLittleObjective
from greenadapt.adapters.biglittle.resolution import guard
from greenadapt.adapters.biglittle.selection import UncuttableError
from greenadapt.adapters.biglittle.sketch import Saving, tried
from greenadapt.adapters.options import written
from greenadapt.adapters.retrofit import Retrofit, become
from greenadapt.adapters.side_by_side import SideBySide, side_by_side
from greenadapt.errors import ModelError, OptionError
from greenadapt.interfaces import Description, Teacher
from greenadapt.zoo.bl_stages import BigLittleStem

_LITTLE = 0.25
"""A conversion that saves less than this share of the multiply-accumulates says so."""


class BigLittle(Retrofit):
    """What Big-Little adds to a model's class: its options. The architecture is in the modules."""

    greenadapt_config: BigLittleConfig
    greenadapt_parameters: int
    """Parameters of the base."""
    greenadapt_stages: tuple[Converted, ...]
    """What became of each stage that was converted."""
    greenadapt_saving: Saving | None
    """What that saves; None where it could not be counted."""


class BigLittleAdapter:
    """The adapter ``biglittle``."""

    name = "biglittle"
    config = BigLittleConfig

    def wrap(self, model: nn.Module, config: BigLittleConfig) -> nn.Module:
        """Converts `model` in place.

        Raises:
            ModelError: The rule does not fit the network.
            OptionError: alpha does not divide its widths, depth or init do not fit it, or it would cost more
                than its base. The network is then as it was.
        """
        if isinstance(model, BigLittle):
            raise ModelError(
                "This network is a Big-Little network already.",
                f"It has {written(model.greenadapt_config)}.",
                "Wrap its base.",
            )
        network: Any = model
        parameters = sum(p.numel() for p in model.parameters())
        config, saving = _tried(model, config)
        _check_cheaper(saving)
        stages = _converted(model, config)
        guard(model, [stage.name for stage in stages], () if saving is None else saving.reductions.values())
        become(model, BigLittle)
        network.greenadapt_config = config
        network.greenadapt_parameters = parameters
        network.greenadapt_stages = tuple(stages)
        network.greenadapt_saving = saving
        return model

    def describe(self, model: nn.Module) -> Description:
        """Each converted stage: blocks of the big and the little branch, widths, fusion stride."""
        assert isinstance(model, BigLittle)
        changes = []
        for stage in model.greenadapt_stages:
            changes += [
                f"- {stage.name}: {_blocks(stage.blocks)} of {stage.width} channels",
                f"+ {stage.name}: big {_blocks(stage.blocks - 1)} of {stage.width} channels at half "
                f"resolution, little {_blocks(stage.little)} of {stage.thin} channels, fusion 1 block of "
                f"stride {stage.stride}",
            ]
        after = sum(p.numel() for p in model.parameters())
        options = written(model.greenadapt_config)
        return Description(
            title=f"{type(model).retrofit_base.__name__} as Big-Little Net, {options}",
            changes=changes,
            parameters_before=model.greenadapt_parameters,
            parameters_after=after,
            notes=["a new architecture: its accuracy is lost until it is fine-tuned", *_saved(model)],
        )

    def dry_run(self, base: nn.Module, model: nn.Module, batch_size: int) -> SideBySide:
        """What both networks take on this device.

        Args:
            base: The network before it was converted.
            model: The Big-Little network.
            batch_size: Images at a time.
        """
        return side_by_side(base, model, batch_size)

    def objective(self, model: nn.Module, teacher: Teacher | None, epochs: int) -> Any:
        """Re-estimated batch norms, then labels and the teacher's logits."""
        return BigLittleObjective(model, teacher)


def _blocks(count: int) -> str:
    return f"{count} block" + "s" * (count != 1)


def _tried(model: nn.Module, config: BigLittleConfig) -> tuple[BigLittleConfig, Saving | None]:
    """The options with a start that fits the model, and what the conversion saves."""
    if config.init == "auto":
        try:
            return _tried(model, replace(config, init="l1"))
        except UncuttableError:
            return _tried(model, replace(config, init="zero"))
    return config, tried(model, lambda sketch: _converted(sketch, config))


def _converted(model: nn.Module, config: BigLittleConfig) -> list[Converted]:
    family = family_of(model)
    check_widths(family, model, config)
    first = next(model.parameters())
    own = [*model.parameters(), *model.buffers()]
    if config.depth == "paper":
        use_paper_depth(model)
    with first.device if first.is_meta else torch.device("cpu"):
        stem = family.replace_stem(model, config.alpha)
    if isinstance(stem, BigLittleStem) and config.init != "random":
        stem.become_identity()
    # New layers of a network without numbers have none either; elsewhere they are drawn on the processor.
    with first.device if first.is_meta else torch.device("cpu"):
        stages = convert(family, model, config)
    _fit_new_layers(model, own, first)
    _tell_reductions(model, stages)
    return stages


def _fit_new_layers(model: nn.Module, own: list[Tensor], like: Tensor) -> None:
    """Gives the layers that the conversion made a device and a type; the base's own keep theirs."""
    inherited = set(map(id, own))
    for module in model.modules():
        held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if held and not any(id(tensor) in inherited for tensor in held):
            module.to(like.device, like.dtype)


def _check_cheaper(saving: Saving | None) -> None:
    if saving is not None and saving.after >= saving.before:
        raise OptionError(
            "Big-Little would make this network cost more.",
            f"{saving.after / 1e9:.3g} instead of {saving.before / 1e9:.3g} G multiply-accumulates for an "
            f"image of {saving.size} px: what its little branches add is more than its big ones save.",
            "Use a greater alpha, which makes the little branches thinner, or a deeper network.",
        )


def _saved(model: BigLittle) -> list[str]:
    """Notes on what the conversion saves, with the reason where it is little."""
    saving = model.greenadapt_saving
    if saving is None:
        return ["how much work it saves could not be counted"]
    notes = [
        f"multiply-accumulates at {saving.size} px: {saving.before:,} => {saving.after:,} "
        f"({saving.share:.1%} less)"
    ]
    if saving.share < _LITTLE:
        inside = sum(stage.blocks - 1 for stage in model.greenadapt_stages)
        notes.append(
            f"that is little: {inside} of its blocks run at half resolution. A network "
            "with more blocks a stage saves more; a plain smaller network may do better"
        )
    return notes


def _tell_reductions(model: Any, stages: list[Converted]) -> None:
    # A fusion block that shrinks the image for the next stage has done so where its own stage is tapped.
    strides = {stage.name: stage.stride for stage in stages}
    for info in model.feature_info:
        info["reduction"] *= strides.get(info["module"], 1)


adapter = BigLittleAdapter()

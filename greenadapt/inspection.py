"""What a network tells about itself: channels and size of its input, and whether it was ever trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_FALLBACK_INPUT = (3, 224, 224)
_IDLE = ("Identity", "Drop", "AlphaDropout", "FeatureAlphaDropout")
"""How the names of layers begin that pass on what they get, once trained."""


def input_shape(model: nn.Module) -> tuple[int, int, int]:
    """Channels, height and width that the network was made for.

    The channels are those that the network states as ``in_chans``, else those of its first convolution,
    because timm leaves ``pretrained_cfg`` as it was when ``in_chans`` is changed; height and width are
    those of the last training in the recipe, else of ``pretrained_cfg``, else 224.
    """
    from torch import nn

    cfg = getattr(model, "pretrained_cfg", None) or {}
    recipe = getattr(model, "greenadapt_recipe", None)
    trained = [run.input_shape for run in (recipe.training if recipe is not None else ()) if run.input_shape]
    published = (cfg if isinstance(cfg, Mapping) else vars(cfg)).get("input_size")
    size = tuple(trained[-1] if trained else published or _FALLBACK_INPUT)
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = first.in_channels if first is not None and first.groups == 1 else size[0]
    # A network that transforms its images first has more channels at its first convolution than they have.
    stated = getattr(model, "in_chans", None)
    return (stated if isinstance(stated, int) else channels, size[1], size[2])


def normalization(model: nn.Module) -> tuple[list[float], list[float]] | None:
    """Mean and standard deviation per channel that inputs are normalised with, or None if not stated."""
    cfg: Any = getattr(model, "pretrained_cfg", None) or {}
    mean, std = cfg.get("mean"), cfg.get("std")
    return (list(mean), list(std)) if mean and std else None


def looks_untrained(model: nn.Module) -> bool:
    """Whether every normalisation layer still is as its constructor left it.

    Networks do not remember whether weights were loaded; a trained one has moved its norms.
    """
    import torch

    norms: list[Any] = [
        m for m in model.modules() if hasattr(m, "running_mean") and m.running_mean is not None
    ]
    if any(parameter.is_meta for parameter in model.parameters()):
        # What has no numbers yet was not trained.
        return True
    if norms:
        return all(not torch.any(m.running_mean) and bool(torch.all(m.running_var == 1)) for m in norms)
    scales = [
        p
        for m in model.modules()
        if "Norm" in type(m).__name__
        for p in m.parameters(recurse=False)
        if p.ndim == 1
    ]
    return bool(scales) and all((p == p.flatten()[0]).all() for p in scales)


def layers(model: nn.Module) -> dict[str, str]:
    """What the layers of a model say of themselves, by name; layers made of others say only their kind.

    Those that do nothing outside training are left out.
    """
    return {
        name: type(module).__name__ if any(module.children()) else repr(module)
        for name, module in model.named_modules()
        if not type(module).__name__.startswith(_IDLE)
    }

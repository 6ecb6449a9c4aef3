"""Refuses an image of which a converted stage would see a single pixel: there is nothing left to halve."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from greenadapt.adapters.retrofit import Retrofit, become
from greenadapt.zoo.bl_stages import Branches, check_pixels

_LEAST = 2
"""Pixels that a stage must have for a branch at half resolution to have fewer."""


class Guarded(Retrofit):
    """Branches that know how small an image may be."""

    greenadapt_name: str
    """Of the stage."""
    greenadapt_least: int | None
    """Height and width, in pixels, of an image that no stage of the network refuses, if that is known."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, c, H, W] to [B, C, H, W] or, where the stage shrinks the image, half that size.

        Raises:
            OptionError: A single pixel is left of the image.
        """
        merged: Tensor = super().forward(x)  # type: ignore[misc]
        check_pixels(merged, self.greenadapt_name, _LEAST, self.greenadapt_least)
        return merged


def guard(model: nn.Module, stages: Iterable[str], reductions: Iterable[int]) -> None:
    """Lets all branches of a network refuse images that are too small, in place.

    Args:
        model: A converted network.
        stages: Names of its converted stages.
        reductions: Pixels of the image for one of each of them; empty where that is not known.
    """
    least = _LEAST * max(reductions, default=0) or None
    for name, module in list(model.named_modules()):
        if isinstance(module, Branches):
            become(module, Guarded)
            stage = next((each for each in stages if name.startswith(f"{each}.")), name)
            module.greenadapt_name, module.greenadapt_least = stage, least  # type: ignore[assignment]

"""Options about images, shared by `audit` and `finetune`, and how the images are opened for a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from greenadapt.cli import output
from greenadapt.cli.options import packed

data_options = packed(
    "limits",
    click.option("--split", help="Part of data that are split.  [default: train to train, test to audit]"),
    click.option("--limit", type=click.IntRange(min=1), help="At most so many images."),
    click.option(
        "--size", type=click.IntRange(min=8), help="Side of the images in pixels.  [default: the model's]"
    ),
    click.option("--channels", type=click.IntRange(1, 3), help="Turn the images grey (1) or to colour (3)."),
    click.option("--skip-unreadable", is_flag=True, help="Leave out and name files that cannot be decoded."),
)
"""Adds what limits the images, as ``limits``; `open_data` takes it."""


def open_data(
    source: str,
    model: Any,
    limits: Mapping[str, Any] | None = None,
    *,
    default_split: str = "test",
    augment: bool = False,
) -> Any:
    """Opens images the way a model was made for: its normalisation, its size for photos.

    Args:
        source: A folder, a zip, or the name of embedded data.
        model: The network that will see them; whether they fit, its user checks.
        limits: The values of `data_options`; none by default.
        default_split: Which part of data that are split, unless the limits say so.
        augment: For training.

    Raises:
        DataError: Nothing is there, or it cannot be read.
    """
    from greenadapt import inspection
    from greenadapt.data import ImageFiles
    from greenadapt.data import open_data as open_images

    channels, height, _ = inspection.input_shape(model)
    mean, std = _normalisation(model, channels)
    view = {"mean": mean, "std": std, "augment": augment, **(limits or {})}
    view["split"] = view.get("split") or default_split
    view["in_chans"] = view.pop("channels", None)
    images = open_images(source, **view)
    if view.get("size") is None and isinstance(images, ImageFiles):
        images = open_images(source, **{**view, "size": height})
    if images.skipped:
        output.say("Skipped, as they cannot be decoded: " + ", ".join(str(file) for file in images.skipped))
    return images


def _normalisation(model: Any, channels: int) -> tuple[Any, Any]:
    """As in the training: recorded in the recipe, or published with the weights; else the data's own."""
    from greenadapt import inspection
    from greenadapt.models import recipe_of

    recipe = recipe_of(model)
    if recipe.data_mean is not None and recipe.data_std is not None:
        return recipe.data_mean, recipe.data_std
    published = inspection.normalization(model) if recipe.base.weights == "pretrained" else None
    if published is None:
        return None, None
    mean, std = published
    if len(mean) == channels:
        return mean, std
    return sum(mean) / len(mean), sum(std) / len(std)

"""Small pictures of images, to stand in a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from greenadapt.data import Images

SIDE = 72
"""Longest side of a picture, in pixels."""


def thumbnails(data: Images, indices: Sequence[int]) -> dict[int, str]:
    """PNG pictures as ``data:`` URIs, by index.

    Args:
        data: The images, as a network is shown them.
        indices: Which; those that the data do not have are left out.
    """
    wanted = [index for index in dict.fromkeys(indices) if index < len(data)]
    if not wanted:
        return {}
    images, _ = data.batch(wanted)
    return {index: _uri(_pixels(image, data)) for index, image in zip(wanted, images, strict=True)}


def _pixels(image: Any, data: Images) -> Any:
    """uint8 [H, W] or [H, W, 3] of a normalised image [C, H, W]."""
    import numpy as np

    mean, std = (np.array(values).reshape(-1, 1, 1) for values in (data.mean, data.std))
    shown = ((image.numpy() * std + mean) * 255).round().clip(0, 255).astype(np.uint8)
    return shown[0] if len(shown) == 1 else shown.transpose(1, 2, 0)


def _uri(pixels: Any) -> str:
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"

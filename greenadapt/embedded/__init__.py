"""What ships with the package: images, and the models trained on them.

`MODELS` is the manifest of the models; ``embedded:NAME`` opens one of them.
"""

from __future__ import annotations

from typing import Literal

SOURCE = "embedded"
"""Prefix that opens the models, as in ``embedded:resnet20``."""

DATA = "fashion-mnist-2000"
"""The images that the models are audited on."""

MODELS: dict[str, Literal["base", "retrofit", "rival"]] = {
    "resnet20": "base",
    "blockdrop": "retrofit",
    "biglittle": "retrofit",
    "resnet14": "rival",
    "resnet8": "rival",
}
"""Role of each embedded model; the base stands first."""

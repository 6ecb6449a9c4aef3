"""The residual blocks of a model: where they are, what their shortcuts are, which can be dropped."""

from greenadapt.adapters.residual.block import Passage, ResidualBlock, shortcut_module
from greenadapt.adapters.residual.branches import cut_branch
from greenadapt.adapters.residual.finding import residual_blocks, shortcut_of
from greenadapt.adapters.residual.recording import image_macs

__all__ = [
    "Passage",
    "ResidualBlock",
    "cut_branch",
    "image_macs",
    "residual_blocks",
    "shortcut_module",
    "shortcut_of",
]

"""Find the residual blocks of a model, and what each one's shortcut is.

A residual block computes ``activation(shortcut(x) + branch(x))``. Dropping it leaves ``shortcut(x)``, without
the activation (BlockDrop's reference network, see ``run_shortcut``). A block is known by its family: the
attribute that holds its shortcut module, None standing for the identity.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from greenadapt.errors import ModelError

_SHORTCUT_ATTRIBUTE = {
    "BasicBlock": "downsample",
    "Bottleneck": "downsample",
    "CifarBasicBlock": "downsample",
}
"""Attribute of the shortcut by class name: timm's and torchvision's ResNet blocks and those of our zoo."""


@dataclass(frozen=True)
class ResidualBlock:
    """A residual block where it stands.

    Attributes:
        name: Its name in ``model.named_modules()``.
        module: The block.
        shortcut: "identity", "projection" (has parameters) or "pooled" (has none).
    """

    name: str
    module: nn.Module
    shortcut: str


def residual_blocks(model: nn.Module) -> list[ResidualBlock]:
    """The residual blocks of a model, in the order in which they stand in it.

    Raises:
        ModelError: There is none that is known.
    """
    found = [
        ResidualBlock(name, module, _kind(shortcut_of(module)))
        for name, module in model.named_modules()
        if _family(module) in _SHORTCUT_ATTRIBUTE
    ]
    if not found:
        kinds = sorted({type(m).__name__ for m in model.modules() if len(list(m.children())) > 1})
        raise ModelError(
            f"{type(model).__name__} has no residual block that greenadapt knows.",
            f"It is made of {', '.join(kinds[:6]) or type(model).__name__}; "
            f"known are {', '.join(sorted(_SHORTCUT_ATTRIBUTE))}.",
            "Choose a ResNet: greenadapt models list 'resnet*'.",
        )
    return found


def shortcut_of(block: nn.Module) -> nn.Module | None:
    """The module on a block's shortcut, or None for the identity."""
    shortcut: nn.Module | None = getattr(block, _SHORTCUT_ATTRIBUTE[_family(block)])
    return shortcut


def run_shortcut(block: nn.Module, x: Tensor) -> Tensor:
    """What a dropped block passes on, [B, C, H, W]: its shortcut, and no activation.

    The projection of a stage's first block may be negative; BlockDrop's network passes it on as it is.
    """
    shortcut = shortcut_of(block)
    return x if shortcut is None else shortcut(x)


def _family(module: nn.Module) -> str:
    # A retrofitted block has a class of its own; its family is that of the class it was.
    return getattr(type(module), "retrofit_base", type(module)).__name__


def _kind(shortcut: nn.Module | None) -> str:
    if shortcut is None:
        return "identity"
    return "projection" if any(True for _ in shortcut.parameters()) else "pooled"

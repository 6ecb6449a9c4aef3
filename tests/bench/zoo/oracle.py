"""What a dropped block should give, worked out without greenadapt: its own forward, the branch at zero.

timm's residual blocks end their branch in a `drop_path*`; with zero there and no activation after the sum,
what is left is the shortcut. For families without one, the stand-in is written down here by hand.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

_FINAL = ("act", "act2", "act3", "last_act", "act_fn", "relu")
"""Where families keep the activation after the sum."""


_SILENT = 1e-3


class Zero(nn.Module):
    """Gives zeros in the place of a `drop_path`."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0


class First(nn.Module):
    """Gives back its first argument."""

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        return x


class Handed(nn.Module):
    """DLA hands its blocks the shortcut as a second argument, where there is one."""

    def forward(self, x: Tensor, shortcut: Tensor | None = None, *args: Any) -> Tensor:
        return x if shortcut is None else shortcut


class Through(nn.Module):
    """The named modules of a block, one after the other."""

    def __init__(self, block: Any, *names: str) -> None:
        super().__init__()
        self.led = nn.ModuleList(getattr(block, name) for name in names if getattr(block, name) is not None)

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        for module in self.led:
            x = module(x)
        return x


class FirstChild(nn.Module):
    """DLA hands the root of a tree what its children gave, the newest first."""

    def forward(self, children: list[Tensor]) -> Tensor:
        return children[0]


class Both(nn.Module):
    """Gives back all its positional arguments."""

    def forward(self, *args: Any) -> Any:
        return args


_PLAIN = ("davit.SpatialBlock", "davit.ChannelBlock", "coat.SerialBlock", "fastvit.RepMixerBlock")
"""They add to their input outside their `drop_path` too: a position, or tokens mixed by convolutions."""


def _plain_mixer(block: Any) -> bool:
    """Whether the first half of a RepViT block adds its input to its output, and the second half too."""
    return isinstance(block.se, nn.Identity) and isinstance(block.token_mixer.bn, nn.Identity)


_BY_HAND: dict[str, Any] = {
    "tnt.Block": lambda block: Both(),
    # Its `drop_path` is put on the input instead of the branch.
    "ResNestBottleneck": lambda block: Through(block, "downsample"),
    **dict.fromkeys(_PLAIN, lambda block: First()),
    **dict.fromkeys(("RepVggBlock", "MobileOneBlock"), lambda block: Through(block, "identity")),
    "DlaRoot": lambda block: FirstChild(),
    **dict.fromkeys(("DlaBasic", "DlaBottleneck", "DlaBottle2neck"), lambda block: Handed()),
    **dict.fromkeys(
        ("SEBottleneck", "SEResNetBottleneck", "SEResNeXtBottleneck", "SEResNetBlock", "CifarBasicBlock"),
        lambda block: Through(block, "downsample"),
    ),
    **dict.fromkeys(
        ("GhostBottleneck", "GhostBottleneckV3", "RepGhostBottleneck"),
        lambda block: Through(block, "shortcut"),
    ),
    "RepViTBlock": lambda block: First() if _plain_mixer(block) else Through(block, "token_mixer", "se"),
    "Block": lambda block: Through(block, "skip") if hasattr(block, "skip") else First(),
}


_UNGOVERNED = {"tnt.Block", "ResNestBottleneck", "RepVggBlock", "MobileOneBlock", *_PLAIN}
"""Those whose `drop_path` does not govern all that they add, so that zero there would not do."""


def dropped(base: nn.Module, names: list[str]) -> nn.Module:
    """A copy of a network, sharing its weights, in which these blocks give what a dropped block should.

    Args:
        base: The network.
        names: Of the blocks, in `named_modules()`.
    """
    model = share(base)
    for name in names:
        block = model.get_submodule(name)
        model.set_submodule(name, stand_in(block))
    return model


def stand_in(block: nn.Module) -> nn.Module:
    """What takes the place of one dropped block; the block itself may be changed."""
    ends = _ends(block)
    kind = type(block).__name__
    file = type(block).__module__.rpartition(".")[2]
    for known in (f"{file}.{kind}", kind):
        if known in _BY_HAND and (not ends or known in _UNGOVERNED):
            return _BY_HAND[known](block)
    if not ends:
        return First()
    for part in list(block.modules()):
        for name in _ends(part):
            setattr(part, name, Zero())
    for name in _FINAL:
        if isinstance(getattr(block, name, None), nn.Module):
            setattr(block, name, nn.Identity())
    return block


def _ends(block: nn.Module) -> list[str]:
    names = [name for name in {*vars(block), *block._modules} if "drop_path" in name]
    return [n for n in names if getattr(block, n) is None or isinstance(getattr(block, n), nn.Module)]


def share(model: nn.Module) -> nn.Module:
    """A copy whose modules are its own and whose tensors are the model's."""
    memo: dict[int, Any] = {id(t): t for t in [*model.parameters(), *model.buffers()]}
    return copy.deepcopy(model, memo)


def awake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draws norms, scales, statistics and whatever is zero at random: every block changes the logits."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim <= 1 or "gamma" in name or "alpha" in name or "scale" in name:
                low, high = (-0.2, 0.2) if name.endswith("bias") else (0.5, 1.0)
                parameter.uniform_(low, high, generator=generator)
            elif parameter.numel() and parameter.abs().max() < _SILENT:
                # Heads that begin at zero would hide all that comes before them.
                inputs = parameter[0].numel()
                parameter.normal_(0, inputs**-0.5, generator=generator)
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.1, generator=generator)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5, generator=generator)
    return model


def settle(model: nn.Module, size: int) -> None:
    """Sets the statistics of batch norms to those of two random images: what a block does is not drowned.

    With other statistics each layer takes from the differences between images and adds its own bias, until
    nothing that an early block did is seen in the logits.
    """
    norms: list[Any] = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    try:
        with torch.no_grad():
            model(torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2)))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()
            norm.running_var.clamp_(min=1e-2)

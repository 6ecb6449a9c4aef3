"""Cuts a residual block down to 1/alpha of its width, whatever it is made of.

Every convolution, norm and linear layer of a copy loses the same share of its channels, so that a block which
adds its input to its output still does. The weights are drawn anew; `greenadapt.adapters.biglittle.selection`
puts the base's in their place.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

_WIDTHS = ("width", "in_channels", "out_channels", "num_channels", "num_features")
"""Attributes in which blocks and attention modules keep a number of channels."""
_KEEP_GROUPS = ("SplitAttn",)
"""Modules whose groups are paths that they add up later, not a cardinality."""


def thin_copy(block: nn.Module, alpha: int) -> nn.Module:
    """A block of the same kind with 1/alpha of every width and fresh weights.

    Args:
        block: Its stride is 1 and its input as wide as its output; it is left as it is.
        alpha: Divides the block's width.
    """
    made = without_hooks(copy.deepcopy(block))
    kept = {id(m) for path in made.modules() if type(path).__name__ in _KEEP_GROUPS for m in path.modules()}
    for module in made.modules():
        if isinstance(module, nn.Conv2d):
            _cut_conv(module, alpha, id(module) in kept)
        elif isinstance(module, nn.Linear):
            _cut_linear(module, alpha)
        elif not isinstance(module, nn.Conv1d):
            _cut_vectors(module, alpha)
    draw(made)
    return made


def without_hooks(copied: nn.Module) -> nn.Module:
    """A copy that does not report to those who watch the original, in place."""
    for module in copied.modules():
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        ):
            hooks.clear()
    return copied


def cut(width: int, alpha: int) -> int:
    """1/alpha of a number of channels, and at least one."""
    return max(1, width // alpha)


def draw(block: nn.Module) -> None:
    """Draws the weights of a new block: Kaiming normal over the fan-out, norms that change nothing.

    Args:
        block: Changed in place.
    """
    for module in block.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            gain = getattr(module, "gain", None)
            if isinstance(gain, Tensor):
                nn.init.ones_(gain)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif hasattr(module, "reset_parameters") and not isinstance(module, nn.Conv1d):
            module.reset_parameters()  # type: ignore[operator]


def _cut_conv(conv: nn.Conv2d, alpha: int, keep_groups: bool) -> None:
    depthwise = conv.groups == conv.in_channels
    before = conv.weight[0].numel()
    conv.in_channels, conv.out_channels = cut(conv.in_channels, alpha), cut(conv.out_channels, alpha)
    if depthwise:
        conv.groups = conv.in_channels
    elif conv.groups > 1:
        most = conv.groups if keep_groups else cut(conv.groups, alpha)
        shared = math.gcd(conv.in_channels, conv.out_channels)
        conv.groups = max(g for g in range(1, most + 1) if shared % g == 0)
    shape = (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
    conv.weight = nn.Parameter(torch.empty(shape, device=conv.weight.device, dtype=conv.weight.dtype))
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias[: conv.out_channels].detach().clone())
    gain: Any = getattr(conv, "gain", None)
    if isinstance(gain, Tensor):
        # Scaled weight standardisation divides by the square root of the fan-in.
        conv.gain = nn.Parameter(gain[: conv.out_channels].detach().clone())
        conv.scale *= (before / conv.weight[0].numel()) ** 0.5


def _cut_linear(linear: nn.Linear, alpha: int) -> None:
    linear.in_features = cut(linear.in_features, alpha)
    linear.out_features = cut(linear.out_features, alpha)
    linear.weight = nn.Parameter(linear.weight[: linear.out_features, : linear.in_features].detach().clone())
    if linear.bias is not None:
        linear.bias = nn.Parameter(linear.bias[: linear.out_features].detach().clone())


def _cut_vectors(module: nn.Module, alpha: int) -> None:
    for name, weight in list(module.named_parameters(recurse=False)):
        if weight.ndim == 1:
            setattr(module, name, nn.Parameter(weight[: cut(len(weight), alpha)].detach().clone()))
    for name, buffer in list(module.named_buffers(recurse=False)):
        if buffer.ndim == 1:
            setattr(module, name, buffer[: cut(len(buffer), alpha)].clone())
    for name in _WIDTHS:
        # Some modules only forward such an attribute to a child of theirs.
        width = vars(module).get(name)
        if isinstance(width, int):
            setattr(module, name, cut(width, alpha))
    if isinstance(shape := getattr(module, "normalized_shape", None), tuple):
        module.normalized_shape = tuple(cut(n, alpha) for n in shape)  # type: ignore[assignment]
    if isinstance(module, nn.GroupNorm):
        module.num_groups = math.gcd(module.num_groups, module.num_channels)
    elif isinstance(groups := getattr(module, "groups", None), int) and hasattr(module, "weight"):
        module.groups = math.gcd(groups, len(module.weight))  # type: ignore[arg-type,assignment]

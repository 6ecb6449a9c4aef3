"""Cuts the weights of little blocks out of the base's own blocks, by the L1 norms of their filters.

The channels of the residual stream are chosen once for a whole little branch, by the last layers of all its
sources; those inside a block are chosen layer by layer, and the next layer's inputs follow. Whole groups are
chosen of a grouped convolution.

Source: Li et al., "Pruning Filters for Efficient ConvNets", ICLR 2017, arXiv 1608.08710.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from greenadapt.adapters.biglittle.families.base import main_path
from greenadapt.errors import OptionError

_BESIDE = {"downsample", "shortcut"}
_GATES = {"se", "attn", "attn_last"}
_SQUEEZE_EXCITE = 2
"""Convolutions in a gate of that kind."""
_UNLIKE = "the blocks of a stage are not alike"
_SPLIT = ("Bottle2neck", "ResNestBottleneck", "SelectiveKernelBasic", "SelectiveKernelBottleneck")


class UncuttableError(OptionError):
    """A base's blocks have channels that belong together, so that no share of them can be taken."""


def inherit(little: nn.Sequential, sources: Sequence[nn.Module], inputs: int) -> None:
    """Fills a little branch from the blocks of its stage.

    Args:
        little: Thin blocks, with or without a convolution that narrows in front; changed in place.
        sources: The stage's blocks, still as they were.
        inputs: Channels that the stage gets.

    Raises:
        UncuttableError: The blocks split their channels into paths, their groups do not divide, or they are
            not alike.
    """
    if type(sources[-1]).__name__ in _SPLIT:
        raise _refused(f"{type(sources[-1]).__name__} splits its channels into paths that belong together")
    blocks = list(little)
    narrow = blocks.pop(0) if isinstance(blocks[0], nn.Sequential) else None
    thin = _rows(main_path(blocks[-1])[-1].weight)
    norms = [_norms(main_path(source)[-1].weight) for source in sources]
    if len({len(found) for found in norms}) > 1:
        raise _refused(_UNLIKE)
    stream = _best(torch.stack(norms).sum(0), thin)
    inside = list(sources[1:])
    with torch.no_grad():
        if narrow is not None:
            _fill_projection(narrow, sources[0], stream, inputs)
        for i, block in enumerate(blocks):
            if narrow is None and i == 0 and inputs != thin:
                _fill(block, sources[0], torch.arange(inputs, device=stream.device), stream)
                _fill_projection(block.downsample, sources[0], stream, inputs)
            else:
                _fill(block, inside[i % len(inside)], stream, stream)


def _fill(block: nn.Module, source: nn.Module, entry: Tensor, stream: Tensor) -> None:
    if _parts(source) - _parts(block):
        raise _refused(_UNLIKE)
    outs = dict(zip(map(id, main_path(source)), _choices(block, source, entry, stream), strict=True))
    thin: dict[str, Any] = dict(block.named_modules())
    current = entry
    for name, module in source.named_modules():
        parts = set(name.split("."))
        if parts & _BESIDE:
            continue
        if parts & _GATES:
            if name.rpartition(".")[2] in _GATES and any(isinstance(m, nn.Conv2d) for m in module.modules()):
                _fill_gate(module, thin[name], current)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            _copy_layer(thin[name], module, current, outs[id(module)])
            current = outs[id(module)]
        else:
            _copy_vectors(thin[name], module, current)


def _choices(block: nn.Module, source: nn.Module, entry: Tensor, stream: Tensor) -> list[Tensor]:
    """Which output channels stay, of every layer on the source's main path."""
    layers, thins = main_path(source), main_path(block)
    outs: list[Tensor] = []
    groups: Tensor | None = None
    for i, layer in enumerate(layers):
        following = layers[i + 1] if i + 1 < len(layers) else None
        if following is None:
            outs.append(stream)
        elif _is_grouped(layer):
            groups = groups if groups is not None else _best_groups(layer, thins[i])
            outs.append(_members(groups, layer.weight.shape[0] // layer.groups))
        elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
            outs.append(outs[-1] if outs else entry)
        elif _is_grouped(following):
            groups = _best_groups(following, thins[i + 1])
            outs.append(_members(groups, following.weight.shape[1]))
        else:
            outs.append(_best(_norms(layer.weight), _rows(thins[i].weight)))
    return outs


def _is_grouped(layer: Any) -> TypeGuard[nn.Conv2d]:
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups < layer.in_channels


def _best_groups(layer: Any, thin: Any) -> Tensor:
    if thin.weight.shape[1] != layer.weight.shape[1]:
        raise _refused(f"alpha does not divide its {layer.groups} groups")
    return _best(_norms(layer.weight).view(layer.groups, -1).sum(1), thin.groups)


def _members(groups: Tensor, size: int) -> Tensor:
    return (groups[:, None] * size + torch.arange(size, device=groups.device)).flatten()


def _parts(block: nn.Module) -> set[str]:
    return {name for name, _ in block.named_modules() if not set(name.split(".")) & _BESIDE}


def _copy_layer(thin: Any, layer: Any, inputs: Tensor, outputs: Tensor) -> None:
    weight = layer.weight[outputs]
    weight = weight[:, inputs] if getattr(layer, "groups", 1) == 1 else weight
    if weight.shape != thin.weight.shape:
        raise _refused(_UNLIKE)
    thin.weight.copy_(weight)
    for name in ("bias", "gain"):
        if isinstance(value := getattr(layer, name, None), Tensor):
            target = getattr(thin, name, None)
            if target is None:
                raise _refused(_UNLIKE)
            target.copy_(value[outputs])


def _copy_vectors(thin: nn.Module, module: nn.Module, current: Tensor) -> None:
    for get in (nn.Module.named_parameters, nn.Module.named_buffers):
        values = dict(get(thin, recurse=False))
        for name, value in get(module, recurse=False):
            values[name].copy_(value[current] if value.ndim else value)


def _fill_gate(gate: nn.Module, thin: nn.Module, current: Tensor) -> None:
    """Squeeze-and-excitation: the strongest of the squeezed channels, for both of its layers."""
    layers = [m for m in gate.modules() if isinstance(m, nn.Conv2d)]
    thins = [m for m in thin.modules() if isinstance(m, nn.Conv2d)]
    if len(layers) != _SQUEEZE_EXCITE:
        raise _refused(f"{type(gate).__name__} is a gate of another kind than squeeze-and-excitation")
    squeezed = _best(_norms(layers[0].weight), _rows(thins[0].weight))
    _copy_layer(thins[0], layers[0], current, squeezed)
    _copy_layer(thins[1], layers[1], squeezed, current)


def _fill_projection(projection: Any, first: nn.Module, stream: Tensor, inputs: int) -> None:
    """A 1x1 convolution and its norm that give the chosen channels of the stage's own shortcut."""
    conv, norm = projection[0], projection[1]
    own = getattr(first, "downsample", None)
    theirs = [m for m in own.modules() if isinstance(m, nn.Conv2d)] if own is not None else []
    middle = conv.kernel_size[0] // 2
    if theirs and theirs[0].kernel_size == (1, 1):
        conv.weight.zero_()
        conv.weight[:, :, middle, middle] = theirs[0].weight[stream, :, 0, 0]
        norms = [m for m in own.modules() if isinstance(m, nn.BatchNorm2d)] if own is not None else []
        if norms:
            _copy_vectors(norm, norms[0], stream)
    elif stream.is_meta or inputs > int(stream.max()):
        conv.weight.zero_()
        conv.weight[torch.arange(len(stream)), stream, middle, middle] = 1.0


def _norms(weight: Tensor) -> Tensor:
    return weight.detach().abs().flatten(1).sum(1)


def _best(norms: Tensor, count: int) -> Tensor:
    if count > len(norms):
        raise _refused(_UNLIKE)
    return norms.topk(count).indices.sort().values


def _rows(weight: Tensor) -> int:
    return weight.shape[0]


def _refused(why: str) -> UncuttableError:
    return UncuttableError(
        "init='l1' does not fit these blocks.",
        f"{why[0].upper()}{why[1:]}.",
        "Use init='zero' or init='random'.",
    )

"""Names of the tensors in the authors' published Big-Little checkpoints, translated into ours.

    b_conv0, bn_b0                          maxpool.big.0, .1
    l_conv0, bn_l0 ... l_conv2, bn_l2       maxpool.little.0, .1 ... .6, .7
    bl_init, bn_bl_init                     maxpool.fuse.0, .1
    layer1.big.0, layer1.little.0           layer1.0.big.0, layer1.0.little.0      likewise layer2, layer3
    layer1.little_e.0                       layer1.0.expand.0
    layer1.fusion.0                         layer1.1
    ...se_layer.fc1                         ...se.fc1

All others are the same in both. Source: the published networks, https://github.com/IBM/BigLittleNet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["translated", "translated_name"]

Value = TypeVar("Value")

_STEM = {
    "b_conv0": "maxpool.big.0",
    "bn_b0": "maxpool.big.1",
    "l_conv0": "maxpool.little.0",
    "bn_l0": "maxpool.little.1",
    "l_conv1": "maxpool.little.3",
    "bn_l1": "maxpool.little.4",
    "l_conv2": "maxpool.little.6",
    "bn_l2": "maxpool.little.7",
    "bl_init": "maxpool.fuse.0",
    "bn_bl_init": "maxpool.fuse.1",
}
_BRANCHES = {"big": "0.big", "little": "0.little", "little_e": "0.expand"}


def translated_name(name: str) -> str:
    """Our name of a tensor.

    Args:
        name: Its name in a published checkpoint, with or without the ``module.`` of a parallel training.

    Returns:
        Our name; a name that is ours already stays.
    """
    name = name.removeprefix("module.")
    head, dot, rest = name.partition(".")
    if head in _STEM:
        return f"{_STEM[head]}{dot}{rest}"
    name = name.replace(".se_layer.", ".se.")
    name = re.sub(r"^(layer[1-3])\.fusion\.0\.", r"\1.1.", name)
    return re.sub(
        r"^(layer[1-3])\.(big|little|little_e)\.", lambda found: f"{found[1]}.{_BRANCHES[found[2]]}.", name
    )


def translated(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """A state dict under our names; see `translated_name`."""
    return {translated_name(name): tensor for name, tensor in tensors.items()}

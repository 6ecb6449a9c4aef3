"""A second copy of a network's structure on the same weights."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


def shared_copy(model: nn.Module, without: Sequence[str] = ()) -> nn.Module:
    """A copy of a network without its hooks, whose parameters and buffers are the network's own.

    Args:
        model: Any network.
        without: Names of attributes of the network itself that are None in the copy.
    """
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    # A module may also hold an output of its own, which has a history and cannot be copied.
    held = (value for module in model.modules() for value in vars(module).values())
    memo |= {id(value): value for value in held if isinstance(value, Tensor)}
    memo |= without_hooks(model)
    for name in without:
        value = getattr(model, name, None)
        if value is not None:
            memo[id(value)] = None
    return copy.deepcopy(model, memo)


def without_hooks(model: nn.Module) -> dict[int, Any]:
    """The memo with which `copy.deepcopy` copies a network without its hooks, but for torch's own.

    Hooks may hold anything, and whoever hung them there does not want to see another network's passes.
    torch's own, such as those of a weight norm, compute the weights.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name, value in vars(module).items():
            if name.endswith("_hooks") and isinstance(value, dict):
                memo[id(value)] = OrderedDict(
                    (key, hook)
                    for key, hook in value.items()
                    if type(hook).__module__.startswith("torch.nn.utils")
                )
    return memo

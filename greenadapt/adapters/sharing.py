"""A second copy of a network's structure on the same weights."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import nn


def shared_copy(model: nn.Module, without: Sequence[str] = ()) -> nn.Module:
    """A copy of a network without its hooks, whose parameters and buffers are the network's own.

    Args:
        model: Any network.
        without: Names of attributes of the network itself that are None in the copy.
    """
    memo: dict[int, Any] = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    for module in model.modules():
        # Hooks may hold anything, and whoever hung them there does not want to see another network's passes.
        for name, value in vars(module).items():
            if name.endswith("_hooks") and isinstance(value, dict):
                memo[id(value)] = OrderedDict()
    for name in without:
        value = getattr(model, name, None)
        if value is not None:
            memo[id(value)] = None
    return copy.deepcopy(model, memo)

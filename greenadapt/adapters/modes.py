"""Training and eval mode for the length of a context, after which every module has the mode that it had.

modes_kept     whatever is done to the modes in it
asked          networks in eval mode, and no gradients
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def modes_kept(*networks: nn.Module) -> Iterator[None]:
    """Gives every module of the networks the mode back that it had; each may have one of its own."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def asked(*networks: nn.Module) -> Iterator[None]:
    """The networks in eval mode and without gradients; then each module in the mode that it had."""
    with modes_kept(*networks), torch.no_grad():
        for network in networks:
            network.eval()
        yield

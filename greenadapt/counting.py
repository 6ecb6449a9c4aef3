"""Counts what a network computes: multiply-accumulates of its convolutions and matrix products.

    with counting(network) as counter:
        network(images)
    counter.macs

Counted is what is executed: a block that is skipped counts nothing. On the meta device it costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

_FLOPS_PER_MAC = 2


class MacCounter:
    """What was computed so far."""

    def __init__(self, counter: FlopCounterMode) -> None:
        self._counter = counter

    @property
    def macs(self) -> int:
        """Multiply-accumulates since the counting began."""
        return int(self._counter.get_total_flops()) // _FLOPS_PER_MAC


@contextmanager
def counting(*networks: nn.Module) -> Iterator[MacCounter]:
    """Counts what is computed within the context, without gradients.

    Args:
        *networks: All that will run; their parameters ask for no gradient meanwhile.
    """
    # torch's counter hooks every tensor that a module gets, and fails on a parameter that is handed from one
    # module to another (class tokens) where it asks for a gradient that inference mode does not give.
    asking = [p for network in networks for p in network.parameters() if p.requires_grad]
    for parameter in asking:
        parameter.requires_grad_(False)
    try:
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            yield MacCounter(counter)
    finally:
        for parameter in asking:
            parameter.requires_grad_(True)

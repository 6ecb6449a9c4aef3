"""What batch norms do for the length of a context: stand still, use the batch at hand, or forget it.

still                     they use the statistics that they have, and move none of them
on_batch_statistics       they use the batch's, in eval mode too, and keep their own for later
statistics_put_back       they do as their mode says, and have moved nothing afterwards
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch norms in a module that have statistics of their own."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def still(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Puts norms in eval mode."""
    modes = [norm.training for norm in norms]
    for norm in norms:
        norm.training = False
    try:
        yield
    finally:
        for norm, mode in zip(norms, modes, strict=True):
            norm.training = mode


@contextmanager
def on_batch_statistics(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Takes the statistics of norms away: without any of its own a norm takes the batch's."""
    kept = [(norm.running_mean, norm.running_var) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = None
    try:
        yield
    finally:
        for norm, (mean, variance) in zip(norms, kept, strict=True):
            norm.running_mean, norm.running_var = mean, variance


@contextmanager
def statistics_put_back(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Has what norms moved in the context moved back: for a forward pass that is done a second time."""
    buffers = [buffer for norm in norms if norm.training for buffer in norm.buffers(recurse=False)]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            # Past autograd: a norm in training remembers its buffers for the backward pass, and reads none.
            buffer.data.copy_(value)

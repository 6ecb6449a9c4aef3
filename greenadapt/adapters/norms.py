"""What batch norms do for the length of a context: stand still, use the batch at hand, or forget it.

still                     they use the statistics that they have, and move none of them
on_batch_statistics       they use the batch's, in eval mode too, and keep their own for later
statistics_put_back       they do as their mode says, and have moved nothing afterwards
statistics_as_now         the same, later, from the statistics that they have now
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """The batch norms in a module that have statistics of their own."""
    return [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@contextmanager
def still(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Puts norms in eval mode, on a copy of their statistics.

    The backward pass reads the variance that a norm used, and a later forward in training moves it in place
    where autograd does not see it; the copy is what stands still.
    """
    found = [(norm.training, dict(norm._buffers)) for norm in norms]
    for norm in norms:
        norm.training = False
        norm._buffers.update({name: None if b is None else b.clone() for name, b in norm._buffers.items()})
    try:
        yield
    finally:
        for norm, (training, buffers) in zip(norms, found, strict=True):
            norm.training = training
            norm._buffers.update(buffers)


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
        _fill(buffers, before)


def statistics_as_now(norms: Sequence[nn.Module]) -> AbstractContextManager[None]:
    """Remembers the statistics of norms now, for a context in which they have these and move none.

    Activation checkpointing recomputes a block long after its forward has moved them; a block that used its
    running statistics would get other activations from those that it has by then.
    """
    buffers = [buffer for norm in norms for buffer in norm.buffers(recurse=False)]
    then = [buffer.clone() for buffer in buffers]

    @contextmanager
    def as_then() -> Iterator[None]:
        now = [buffer.clone() for buffer in buffers]
        _fill(buffers, then)
        try:
            yield
        finally:
            _fill(buffers, now)

    return as_then()


def _fill(buffers: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        # Past autograd: a norm in training remembers its buffers for the backward pass, and reads none.
        buffer.data.copy_(value)

"""Random weights read from a table: most of the time of building a large network goes into drawing them.

    uniform_, normal_ of a tensor ── a stretch of a table of about a million draws, from a moving start

The length of the table is prime, so that no two rows of a weight get the same stretch. Tensors on the meta
device have nothing to draw and are passed on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_LENGTH = 1_048_573
_STRIDE = 700_001


class Table:
    """Draws of one distribution, read in stretches.

    Args:
        draws: [N], of the distribution with location 0 and scale 1.
    """

    def __init__(self, draws: Tensor) -> None:
        self.draws = draws
        self.start = 0

    def fill(self, tensor: Tensor, location: float, scale: float) -> Tensor:
        """Fills a tensor in place with `location + scale * draw`, and returns it."""
        self.start = (self.start + _STRIDE) % len(self.draws)
        flat = torch.empty(tensor.numel(), dtype=self.draws.dtype)
        begin, position = self.start, 0
        while position < len(flat):
            stretch = self.draws[begin : begin + len(flat) - position]
            flat[position : position + len(stretch)] = stretch
            begin, position = 0, position + len(stretch)
        return tensor.copy_(flat.mul_(scale).add_(location).view(tensor.shape))


@contextmanager
def from_tables(seed: int = 0) -> Iterator[None]:
    """Within it, `Tensor.uniform_` and `Tensor.normal_` read from tables unless they are given a generator.

    Args:
        seed: Of the tables.
    """
    generator = torch.Generator().manual_seed(seed)
    uniform, normal = Tensor.uniform_, Tensor.normal_
    tables = (
        Table(torch.rand(_LENGTH, generator=generator)),
        Table(torch.randn(_LENGTH, generator=generator)),
    )

    def drawn_uniform(tensor: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Tensor:
        if generator is not None or tensor.device.type != "cpu":
            return uniform(tensor, a, b, generator=generator)
        return tables[0].fill(tensor, a, b - a)

    def drawn_normal(tensor: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
        if generator is not None or tensor.device.type != "cpu":
            return normal(tensor, mean, std, generator=generator)
        return tables[1].fill(tensor, mean, std)

    Tensor.uniform_, Tensor.normal_ = drawn_uniform, drawn_normal  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Tensor.uniform_, Tensor.normal_ = uniform, normal  # type: ignore[method-assign]

"""The variance of one block, from all in the blocks that sees the same noise.

`greenadapt.statistics.blocks` draws a block and says which of its three figures are pooled when, and why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from greenadapt.statistics.intervals import fisher_f, variance

_POOLING_LEVEL, _SLOPE_LEVEL, _LATER_LEVEL = 0.2, 0.05, 0.05
_MANY_BLOCKS = 5
_NOTHING = 1e-12
"""A variance this much smaller than another is rounding."""


@dataclass(frozen=True)
class BlockReading:
    """What one block tells; see `greenadapt.statistics.blocks`.

    Attributes:
        block: Its number.
        stage: 1 in the pilot, 2 after it.
        level: The figure itself, or the difference of two networks.
        contrast: Noise without the figure; None for a single network, or where trials are missing.
        slope: Noise and drift without the figure; None where trials of the block are missing.
        span: How many places in the run an even drift had time for in the slope.
    """

    block: int
    stage: int
    level: float
    contrast: float | None = None
    slope: float | None = None
    span: int = 0


class Scatter(NamedTuple):
    """Variance of one block, and its degrees of freedom."""

    variance: float
    freedom: int


def chosen(readings: Sequence[BlockReading]) -> Scatter:
    """The variance of one block that an interval rests on.

    Args:
        readings: Of at least two blocks.
    """
    pilot = [reading for reading in readings if reading.stage == 1]
    later = [reading for reading in readings if reading.stage != 1]
    if len(pilot) < 2 or not later:
        return _scatter(readings)
    planned, whole = _scatter(pilot), _scatter(readings)
    since = _scatter(later) if len(later) >= 2 else _shift(pilot, later[0])
    unseen = planned.variance <= _NOTHING * whole.variance
    return whole if unseen or _exceeds(since, planned, _LATER_LEVEL) else planned


def _shift(pilot: Sequence[BlockReading], later: BlockReading) -> Scatter:
    """What one later block alone tells of the variance: its distance from the pilot's mean."""
    mean = math.fsum(reading.level for reading in pilot) / len(pilot)
    return Scatter((later.level - mean) ** 2 / (1 + 1 / len(pilot)), 1)


def _scatter(readings: Sequence[BlockReading]) -> Scatter:
    """Of the levels, pooled with what else sees the same noise."""
    levels = Scatter(variance([reading.level for reading in readings]), len(readings) - 1)
    contrasts, slopes = _of_contrasts(readings), _of_slopes(readings)
    reference = contrasts or slopes
    if reference is None:
        return levels
    many = len(readings) >= _MANY_BLOCKS
    if many and _exceeds(levels, reference, _POOLING_LEVEL):
        return levels
    pooled = levels if contrasts is None else _pooled(levels, contrasts)
    if slopes is None or (many and contrasts is not None) or _exceeds(slopes, pooled, _SLOPE_LEVEL):
        return pooled
    return _pooled(pooled, slopes)


def _of_contrasts(readings: Sequence[BlockReading]) -> Scatter | None:
    contrasts = [reading.contrast for reading in readings if reading.contrast is not None]
    return Scatter(variance(contrasts), len(contrasts) - 1) if len(contrasts) >= 2 else None


def _of_slopes(readings: Sequence[BlockReading]) -> Scatter | None:
    """About an even drift, which makes the slope of a block proportional to its span."""
    slopes = [(reading.slope, reading.span) for reading in readings if reading.slope is not None]
    lever = sum(span**2 for _, span in slopes)
    if len(slopes) < 2 or lever == 0:
        return None
    drift = math.fsum(slope * span for slope, span in slopes) / lever
    rest = math.fsum((slope - drift * span) ** 2 for slope, span in slopes)
    return Scatter(rest / (len(slopes) - 1), len(slopes) - 1)


def _exceeds(one: Scatter, other: Scatter, level: float) -> bool:
    return one.variance > other.variance * fisher_f(one.freedom, other.freedom, level)


def _pooled(one: Scatter, other: Scatter) -> Scatter:
    freedom = one.freedom + other.freedom
    return Scatter((one.freedom * one.variance + other.freedom * other.variance) / freedom, freedom)

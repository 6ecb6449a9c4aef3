"""Intervals from blocks of interleaved trials.

    block        1            2            3            4
    order     A  B  B  A   B  A  A  B   A  B  B  A   B  A  A  B
    level     mean log B - mean log A                     what drifts evenly over the block cancels
    contrast  (1st - 2nd + 3rd - 4th) / 2 of the block    both networks cancel, the noise stays
    slope     (1st + 2nd - 3rd - 4th) / 2 of the block    both networks cancel, noise and drift stay

**Mean.** The levels, averaged over the blocks.

**Its variance.** Under even noise all three scatter alike over the blocks. Levels alone give n - 1 degrees of
freedom for n blocks, 4.30 standard errors to either side for three of them, so the others are pooled in:
- The contrasts, about their mean, which is what an even drift leaves of them. Where the levels scatter more
  than they do (F test, 20 %), something moves between blocks, and the levels count alone. The test is lenient
  because pooling in error costs coverage, and not pooling in error a little width; the table of Bancroft and
  Han (1983) is more lenient still. Fewer than five blocks cannot tell, and are not tested.
- With fewer than five blocks the slopes too, about an even drift, unless they scatter more (F test, 5 %):
  that is a drift that is not even, and pairing takes it out of the levels.
Noise that carries over from trial to trial makes contrasts scatter less than levels. Since every other block
runs the other way round, it also makes the mean of the levels scatter less than its blocks would tell.

**Two stages.** The pilot's variance sizes the second stage and stays the variance of the final interval
(Stein, 1945). The number of blocks depends on it, so that the variance of all blocks would be too small just
where there are few (tried: 92 to 94 % covered). Where the second stage scatters more than the pilot (F test,
5 %), the variance of all blocks takes its place.

**A single network** has the mean of its two trials as level and half their difference as slope, which stands
in for the contrast. Its interval comes from blocks as well: the trials of a block stand close together and
share what the machine was doing, so that they are fewer readings than they seem. A block of one trial (schema
1.0) has a level alone.

Seen in 8,000 simulated audits each, both stages, by `tests/bench/audits.py` with seed 7:

    trial noise                2 %                          0.5 %
    independent                96.2 % covered, 26 blocks    95.5 %, 5 blocks
    drift of 5 % in the pilot  96.2 %, 26 blocks            95.5 %, 5 blocks
    autocorrelation 0.3        96.2 %, 21 blocks            95.8 %, 5 blocks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from greenadapt.profile import Interval, Trial
from greenadapt.statistics.intervals import fisher_f, interval_of, student_t, variance

_POOLING_LEVEL, _SLOPE_LEVEL, _LATER_LEVEL = 0.2, 0.05, 0.05
_MANY_BLOCKS = 5
Quantity = Literal["joules", "seconds"]
Value = Callable[[Trial], float | None]


@dataclass(frozen=True)
class BlockReading:
    """What one block tells; see the module's docstring.

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


def per_inference(quantity: Quantity) -> Value:
    """What a trial took per inference; None where it is unknown or not above zero.

    Args:
        quantity: "joules" or "seconds".

    Raises:
        ValueError: Another quantity was asked for.
    """
    if quantity not in ("joules", "seconds"):
        raise ValueError(f"quantity must be 'joules' or 'seconds', not {quantity!r}")

    def value(trial: Trial) -> float | None:
        reading = trial.joules if quantity == "joules" else trial.seconds
        return reading / trial.inferences if reading is not None and reading > 0 else None

    return value


def counted(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that count: all but those of the discarded block."""
    return [trial for trial in trials if not trial.discarded]


def per_block(trials: Sequence[Trial], quantity: Quantity) -> dict[int, float]:
    """One figure per counted block: the geometric mean of the trials that it has of a network.

    Args:
        trials: The trials of one network.
        quantity: "joules" or "seconds", per inference.

    Returns:
        Block number to quantity per inference; blocks without a reading above zero are left out.

    Raises:
        ValueError: Another quantity was asked for.
    """
    readings = single(trials, per_inference(quantity), log=True)
    return {reading.block: math.exp(reading.level) for reading in readings}


def paired_ratio(base: Sequence[Trial], other: Sequence[Trial], quantity: Quantity) -> Interval | None:
    """Ratio other / base of one interleaved run, with its 95 % interval on the log scale.

    Args:
        base: The trials of a network.
        other: Those of another one, from the same run.
        quantity: "joules" or "seconds", per inference.

    Returns:
        The interval over the blocks that both have; None if there are fewer than two.

    Raises:
        ValueError: Another quantity was asked for.
    """
    value = per_inference(quantity)
    ours, theirs = (_by_block(trials, value, log=True) for trials in (base, other))
    blocks = sorted(ours.keys() & theirs.keys())
    if len(blocks) < 2:
        return None
    readings = [_pair(ours[block], theirs[block]) for block in blocks]
    trials = min(sum(len(each[block]) for block in blocks) for each in (ours, theirs))
    return block_interval(readings, trials, log=True)


def single_interval(trials: Sequence[Trial], value: Value, *, log: bool) -> Interval | None:
    """Mean of one network's figure with its 95 % interval; None with fewer than two blocks to go by.

    Args:
        trials: Its trials.
        value: The figure of a trial, or None where it has none.
        log: Work on the logarithms; the figure must be above zero then.
    """
    readings = single(trials, value, log=log)
    if len(readings) < 2:
        return None
    return block_interval(readings, sum(value(trial) is not None for trial in counted(trials)), log=log)


def single(trials: Sequence[Trial], value: Value, *, log: bool) -> list[BlockReading]:
    """What the blocks tell of one network; those without a figure are left out."""
    return [_one(points) for points in _by_block(trials, value, log).values()]


def block_interval(readings: Sequence[BlockReading], trials: int, *, log: bool) -> Interval:
    """The interval that blocks give; see the module's docstring.

    Args:
        readings: Of at least two blocks.
        trials: How many trials they hold.
        log: The levels are logarithms.
    """
    mean = math.fsum(reading.level for reading in readings) / len(readings)
    scatter = _chosen(readings)
    reach = student_t(scatter.freedom) * math.sqrt(scatter.variance / len(readings))
    return interval_of(mean, reach, trials, log)


_Point = tuple[Trial, float]


class _Scatter(NamedTuple):
    """Variance of one block, and its degrees of freedom."""

    variance: float
    freedom: int


def _by_block(trials: Sequence[Trial], value: Value, log: bool) -> dict[int, list[_Point]]:
    blocks: dict[int, list[_Point]] = {}
    for trial in counted(trials):
        figure = value(trial)
        if figure is not None:
            blocks.setdefault(trial.block, []).append((trial, math.log(figure) if log else figure))
    return blocks


def _one(points: list[_Point]) -> BlockReading:
    trial, level = points[0][0], _mean(points)
    if len(points) != 2:
        return BlockReading(trial.block, trial.stage, level)
    (first, one), (last, other) = points
    return BlockReading(
        trial.block, trial.stage, level, slope=(one - other) / 2, span=first.order - last.order
    )


def _pair(base: list[_Point], other: list[_Point]) -> BlockReading:
    trial, level = base[0][0], _mean(other) - _mean(base)
    in_order = sorted(base + other, key=lambda point: point[0].order)
    ours = [point in base for point in in_order]
    if ours not in ([True, False, False, True], [False, True, True, False]):
        return BlockReading(trial.block, trial.stage, level)
    first, second, third, fourth = (figure for _, figure in in_order)
    places = [each.order for each, _ in in_order]
    return BlockReading(
        trial.block,
        trial.stage,
        level,
        contrast=(first - second + third - fourth) / 2,
        slope=(first + second - third - fourth) / 2,
        span=places[0] + places[1] - places[2] - places[3],
    )


def _mean(points: list[_Point]) -> float:
    return math.fsum(figure for _, figure in points) / len(points)


def _chosen(readings: Sequence[BlockReading]) -> _Scatter:
    pilot = [reading for reading in readings if reading.stage == 1]
    later = [reading for reading in readings if reading.stage != 1]
    if len(pilot) < 2 or not later:
        return _scatter(readings)
    planned = _scatter(pilot)
    if len(later) >= 2 and _exceeds(_scatter(later), planned, _LATER_LEVEL):
        return _scatter(readings)
    return planned


def _scatter(readings: Sequence[BlockReading]) -> _Scatter:
    """Of the levels, pooled with what else sees the same noise."""
    levels = _Scatter(variance([reading.level for reading in readings]), len(readings) - 1)
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


def _of_contrasts(readings: Sequence[BlockReading]) -> _Scatter | None:
    contrasts = [reading.contrast for reading in readings if reading.contrast is not None]
    return _Scatter(variance(contrasts), len(contrasts) - 1) if len(contrasts) >= 2 else None


def _of_slopes(readings: Sequence[BlockReading]) -> _Scatter | None:
    """About an even drift, which makes the slope of a block proportional to its span."""
    slopes = [(reading.slope, reading.span) for reading in readings if reading.slope is not None]
    lever = sum(span**2 for _, span in slopes)
    if len(slopes) < 2 or lever == 0:
        return None
    drift = math.fsum(slope * span for slope, span in slopes) / lever
    rest = math.fsum((slope - drift * span) ** 2 for slope, span in slopes)
    return _Scatter(rest / (len(slopes) - 1), len(slopes) - 1)


def _exceeds(one: _Scatter, other: _Scatter, level: float) -> bool:
    return one.variance > other.variance * fisher_f(one.freedom, other.freedom, level)


def _pooled(one: _Scatter, other: _Scatter) -> _Scatter:
    freedom = one.freedom + other.freedom
    return _Scatter((one.freedom * one.variance + other.freedom * other.variance) / freedom, freedom)

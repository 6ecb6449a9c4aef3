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
5 %), the variance of all blocks takes its place. Of a single later block its distance from the pilot's mean
is tested, and a pilot that saw no scatter at all is not believed where the blocks do scatter.

**Lost readings.** A ratio is of whole palindromes: where one of the four trials has no figure, the block is
left out for both networks. What is left of it stands at another place of the drift than its partner, and the
drift would pass for a difference. A block of schema 1.0 ran each network once, and is a pair as it stands.

**A single network** has the mean of its two trials as level and half their difference as slope, which stands
in for the contrast. Its interval comes from blocks as well: the trials of a block stand close together and
share what the machine was doing, so that they are fewer readings than they seem. A block of one trial (schema
1.0, or one reading lost) has a level alone: nothing is paired with it, and a drift moves it by half a block
at most, which is little beside what a drift moves over the run.

Seen in 8,000 simulated audits each, both stages, by `tests/bench/audits.py` with seed 7:

    trial noise                2 %                          0.5 %
    independent                96.2 % covered, 26 blocks    95.5 %, 5 blocks
    drift of 5 % in the pilot  96.2 %, 26 blocks            95.5 %, 5 blocks
    autocorrelation 0.3        96.2 %, 21 blocks            95.8 %, 5 blocks
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from greenadapt.profile import Interval, Trial
from greenadapt.statistics.intervals import interval_of, student_t
from greenadapt.statistics.scatter import BlockReading, chosen

Quantity = Literal["joules", "seconds"]
Value = Callable[[Trial], float | None]


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
        The interval over the blocks that are complete for both; None if there are fewer than two.

    Raises:
        ValueError: Another quantity was asked for.
    """
    value = per_inference(quantity)
    ours, theirs = (_by_block(trials, value, log=True) for trials in (base, other))
    ran = Counter(trial.block for trial in counted(base)), Counter(trial.block for trial in counted(other))
    blocks = sorted(
        block
        for block in ours.keys() & theirs.keys()
        if _is_complete(ours[block], theirs[block], (ran[0][block], ran[1][block]))
    )
    if len(blocks) < 2:
        return None
    readings = [_pair(ours[block], theirs[block]) for block in blocks]
    return block_interval(readings, sum(len(ours[block]) for block in blocks), log=True)


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
    scatter = chosen(readings)
    reach = student_t(scatter.freedom) * math.sqrt(scatter.variance / len(readings))
    return interval_of(mean, reach, trials, log)


_Point = tuple[Trial, float]


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


def _is_complete(base: list[_Point], other: list[_Point], ran: tuple[int, int]) -> bool:
    """Whether a block ran each network once, or is a palindrome of which no figure was lost."""
    if ran == (1, 1):
        return True
    firsts = {id(trial) for trial, _ in base}
    ours = [id(trial) in firsts for trial, _ in _in_order(base, other)]
    return ran == (2, 2) and ours in ([True, False, False, True], [False, True, True, False])


def _in_order(base: list[_Point], other: list[_Point]) -> list[_Point]:
    return sorted(base + other, key=lambda point: point[0].order)


def _pair(base: list[_Point], other: list[_Point]) -> BlockReading:
    trial, level = base[0][0], _mean(other) - _mean(base)
    in_order = _in_order(base, other)
    if len(in_order) != 4:
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

"""How the joules were read, the raw trials, and what is derived from them."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from greenadapt.profile.plan import Kind, Part


class Method(Part):
    """Which instrument read the joules, and what it covers."""

    meter: str | None
    kind: Kind | None
    """"measured" by a counter, "estimated" as a constant power times time, None without any meter."""
    scope: str | None
    """What the joules cover: "gpu", "cpu package", "machine"."""
    estimator: str | None
    """How joules were got from readings: "slope at ticks" or "difference"."""
    period_seconds: float | None = None
    """The counter's update period, as found on this board."""
    why_not: str | None = None
    """Why there is no energy figure, or why it is only estimated."""
    systematic_fraction: float | None = None
    """Stated uncertainty of the absolute joules, common to all figures of one board."""


class Trial(Part):
    """One stretch of repeated calls of one model."""

    block: int
    """Each block is a palindrome that runs every network twice (ABBA), every other one the other way round
    (BAAB); block 0 is discarded. In schema 1.0 a block ran every network once."""
    stage: Literal[1, 2] = 1
    """1 in the pilot, 2 in the blocks that the pilot asked for."""
    order: int
    """Position in the whole run."""
    started_seconds: float
    """Since the start of the run."""
    seconds: PositiveFloat
    calls: PositiveInt
    inferences: PositiveInt
    joules: float | None
    """Energy of these calls; None without a meter or where the trial was too short to tell."""
    discarded: bool = False


class Stages(Part):
    """What the pilot decided; the same in all profiles of a run. See `greenadapt.statistics.settle`."""

    networks: list[str]
    """All that ran interleaved, in order; the first is the base of the ratios."""
    trial_seconds: PositiveFloat
    """Length that was asked of each trial, after the counter's period was known."""
    pilot_blocks: PositiveInt
    quantity: Literal["joules", "seconds"] | None = None
    """What steered: joules per inference where a counter measured all networks, else seconds."""
    worst: str | None = None
    """Network whose ratio to the base (one network alone: whose own figure) was known least well."""
    pilot_fraction: NonNegativeFloat | None = None
    """How far that interval reached to either side after the pilot."""
    needed_blocks: int | None = None
    """How many blocks, those of the pilot included, bring it down to the target."""
    affordable_blocks: int | None = None
    """How many fit into the budget at the pilot's pace."""
    blocks: PositiveInt
    """How many counted blocks the run has."""
    reason: str
    """The decision in words."""


class Idle(Part):
    """Power of the idle machine, with everything loaded, before and after the trials."""

    before_watts: float | None
    after_watts: float | None


class Interval(Part):
    """A mean with its 95 % interval (Student's t over blocks of trials)."""

    mean: float
    low: float
    high: float
    trials: int
    """How many trials it rests on; of a ratio, trials of each of the two."""


class Summary(Part):
    """Everything derived from the trials."""

    seconds_per_inference: Interval
    seconds_per_batch: Interval
    inferences_per_second: float
    joules_per_inference: Interval | None
    """Gross: idle power included."""
    net_joules_per_inference: Interval | None
    """With the mean idle power subtracted."""

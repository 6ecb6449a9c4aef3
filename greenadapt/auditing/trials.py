"""Warm-up and the interleaved trials of several networks, in two stages.

warm-up        A A A  B B  C C C       windows of each until two in a row agree within 1 %
block 0        A B C C B A             discarded whole
block 1        C B A A B C             every other block the other way round: what drifts evenly falls
block 2        A B C C B A             on all of them alike within each block
  ...                                  a random pause before each trial: none keeps step with the counter
end of pilot   ---------------------   `greenadapt.statistics.settle`: how many blocks bring the interval
block n+1      C B A A B C             of the worst ratio to the target, or end the budget; settled once,
                                       from the pilot
  ...
block N        ...
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from greenadapt.auditing.instruments import Instrument, Step, Stretch
from greenadapt.meters.clocks import REAL, Clock
from greenadapt.profile import Plan, Stages, Trial
from greenadapt.statistics import pilot_blocks, settle

Progress = Callable[[str, float], None]
_AGREEMENT = 0.01
_WINDOW_SECONDS = 1.0
_PERIODS, _QUICK_PERIODS = 50, 10
_SHORTEST_PAUSE_SPAN, _LONGEST_PAUSE_SPAN = 0.1, 1.0
_PILOT_SHARE = 0.5


@dataclass(frozen=True)
class Arm:
    """One of the things that are measured against each other.

    Attributes:
        name: Unique in its run.
        step: One call, on a batch.
        batch_size: Inferences per call.
    """

    name: str
    step: Step
    batch_size: int


@dataclass
class Run:
    """What came of the trials.

    Attributes:
        trials: The trials of each arm, in the order in which they ran.
        failures: Why the energy of a trial is unknown, where it is; each reason once.
        stages: What the pilot decided; None before it has run.
    """

    trials: dict[str, list[Trial]]
    failures: dict[str, list[str]] = field(default_factory=dict)
    stages: Stages | None = None


class PlannedTime(NamedTuple):
    """How long something takes.

    Attributes:
        least: Seconds it takes at least.
        most: Seconds it takes at most.
    """

    least: float
    most: float


def warm_up(instrument: Instrument, step: Step, plan: Plan, clock: Clock = REAL) -> float:
    """Repeats a call until the last two windows agree within 1 %, or the plan's bound is reached.

    They must agree in time, and in joules per call where the meter can tell over a window.

    Returns:
        How long it took, in seconds.
    """
    start, previous = clock.now(), None
    window = window_seconds(plan, _period(instrument))
    while True:
        stretch = instrument.stretch(step, window)
        spent = clock.now() - start
        if spent >= plan.warmup_seconds or (previous is not None and _agree(previous, stretch, instrument)):
            return spent
        previous = stretch


def block_order(names: Sequence[str], block: int) -> list[str]:
    """The order of a block: a palindrome, as given in even blocks, the other way round in odd ones."""
    forth = list(names) if block % 2 == 0 else list(names)[::-1]
    return forth + forth[::-1]


def run_trials(
    instrument: Instrument,
    arms: Sequence[Arm],
    plan: Plan,
    progress: Progress,
    clock: Clock = REAL,
    running: Callable[[str | None], None] | None = None,
) -> Run:
    """Runs the interleaved trials: one discarded block, the pilot, and what the pilot asks for.

    Args:
        instrument: What measures.
        arms: What is measured; ratios are to the first.
        plan: How many trials, how long, how narrow the interval is to be, and the seed of the pauses.
        progress: Told of every block.
        clock: What the pauses and the moments of the trials are counted on.
        running: Told the name of the arm when a trial begins, and None when it ends.
    """
    interleaved = _Interleaved(instrument, arms, plan, clock, running or _untold)
    pilot = pilot_blocks(plan)
    share = _PILOT_SHARE if plan.target_fraction is not None else 1.0
    for block in range(pilot + 1):
        discarded = " (discarded)" if block == 0 else ""
        progress(f"trials, pilot: block {block} of {pilot}{discarded}", share * block / (pilot + 1))
        interleaved.run_block(block, stage=1)
    run = interleaved.run
    stages = settle(run.trials, plan, interleaved.seconds, measured=_measures(instrument))
    run.stages = stages
    later = stages.blocks - pilot
    if plan.target_fraction is not None:
        progress(f"trials: {stages.reason}", share if later else 1.0)
    for block in range(pilot + 1, stages.blocks + 1):
        done = share + (1 - share) * (block - pilot - 1) / later
        progress(f"trials, second stage: block {block} of {stages.blocks}", done)
        interleaved.run_block(block, stage=2)
    return run


class _Interleaved:
    def __init__(
        self,
        instrument: Instrument,
        arms: Sequence[Arm],
        plan: Plan,
        clock: Clock,
        running: Callable[[str | None], None],
    ) -> None:
        period = _period(instrument)
        self.run = Run({arm.name: [] for arm in arms})
        self.seconds = trial_seconds(plan, period)
        self._instrument = instrument
        self._arms = {arm.name: arm for arm in arms}
        self._clock = clock
        self._running = running
        self._pauses = random.Random(plan.seed)
        self._longest_pause = longest_pause(plan, period)
        self._start = clock.now()
        self._order = 0

    def run_block(self, block: int, stage: int) -> None:
        for name in block_order(list(self._arms), block):
            self._clock.sleep(self._pauses.uniform(0, self._longest_pause))
            started = self._clock.now() - self._start
            self._running(name)
            stretch = self._instrument.stretch(self._arms[name].step, self.seconds)
            self._running(None)
            if stretch.why_not is not None and self._instrument.meter is not None:
                _add_once(self.run.failures.setdefault(name, []), stretch.why_not)
            trial = Trial(
                block=block,
                stage=1 if stage == 1 else 2,
                order=self._order,
                started_seconds=started,
                seconds=stretch.seconds,
                calls=stretch.calls,
                inferences=stretch.calls * self._arms[name].batch_size,
                joules=stretch.joules,
                discarded=block == 0,
            )
            self.run.trials[name].append(trial)
            self._order += 1


def trial_seconds(plan: Plan, period: float | None) -> float:
    """Length of a trial: the plan's, or as many periods of the counter as its slope needs.

    Args:
        plan: The plan; a quick one does with 10 periods instead of 50.
        period: The counter's update period in seconds; None if there is none or it moves often.
    """
    return max(plan.trial_seconds, (_QUICK_PERIODS if plan.quick else _PERIODS) * (period or 0.0))


def longest_pause(plan: Plan, period: float | None = None) -> float:
    """Upper end of the random pause before a trial, in seconds: a period of the counter, within reason."""
    span = min(_LONGEST_PAUSE_SPAN, max(_SHORTEST_PAUSE_SPAN, period or 0.0))
    return min(span, trial_seconds(plan, period) / 10)


def planned_seconds(plan: Plan, n_arms: int, period: float | None = None) -> PlannedTime:
    """How long an audit takes, in seconds, without the accuracy pass and the loading.

    A single call that takes longer than a trial is finished all the same.

    Args:
        plan: The plan.
        n_arms: How many networks, or settings of them, run interleaved.
        period: The counter's update period in seconds; None if it moves often or is not known yet.

    Returns:
        The least: a warm-up of two windows, and a pilot that is enough. The most: a warm-up to its bound,
        and a second stage that ends the budget.
    """
    length, pause = trial_seconds(plan, period), longest_pause(plan, period)
    trials = 2 * n_arms * (pilot_blocks(plan) + 1)
    window = window_seconds(plan, period or 0.0)
    least = 2 * plan.idle_seconds + n_arms * min(2 * window, plan.warmup_seconds) + trials * length
    longest_trials = trials * (length + pause)
    if plan.target_fraction is not None:
        longest_trials = max(longest_trials, plan.budget_seconds)
    most = 2 * plan.idle_seconds + n_arms * (plan.warmup_seconds + window) + longest_trials
    return PlannedTime(least, most)


def window_seconds(plan: Plan, period: float) -> float:
    """Length of a window of the warm-up, and of a short look: long enough for ten periods of the counter.

    Args:
        plan: The plan.
        period: The counter's update period in seconds; 0 if it moves often or there is none.
    """
    return max(min(_WINDOW_SECONDS, plan.trial_seconds / 2), _QUICK_PERIODS * period)


def _period(instrument: Instrument) -> float:
    return instrument.slow_period_seconds or 0.0


def _measures(instrument: Instrument) -> bool:
    return instrument.meter is not None and instrument.meter.info.kind == "measured"


def _agree(one: Stretch, other: Stretch, instrument: Instrument) -> bool:
    in_time = _close(one.seconds / one.calls, other.seconds / other.calls)
    if one.joules is None or other.joules is None or not _tells_over_a_window(instrument):
        return in_time
    return in_time and _close(one.joules / one.calls, other.joules / other.calls)


def _tells_over_a_window(instrument: Instrument) -> bool:
    """A counter whose period is not known may move once a window, and would never agree with itself."""
    info = instrument.meter.info if instrument.meter is not None else None
    return info is not None and info.kind == "measured" and info.period_seconds is not None


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= _AGREEMENT * abs(one)


def _untold(name: str | None) -> None:
    """Nobody wants to know what is running."""


def _add_once(reasons: list[str], reason: str) -> None:
    if reason not in reasons:
        reasons.append(reason)

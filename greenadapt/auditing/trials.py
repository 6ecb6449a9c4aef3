"""Warm-up and the interleaved trials of several networks.

warm-up        A A A  B B  C C C       windows of each until two in a row agree within 1 %
block 0        A B C                   discarded whole
block 1        C B A                   every other block in reverse: what drifts evenly over the run
block 2        A B C                   falls on all of them alike
  ...                                  a short random pause before each trial, so that no trial
block n        ...                     keeps step with the counter
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from greenadapt.auditing.instruments import Instrument, Step
from greenadapt.profile import Plan, Trial

Progress = Callable[[str, float], None]
_AGREEMENT = 0.01
_WINDOW_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 0.1


@dataclass
class Run:
    """What came of the trials.

    Attributes:
        trials: The trials of each network, in the order in which they ran.
        failures: Why the energy of a trial is unknown, where it is; each reason once.
    """

    trials: dict[str, list[Trial]]
    failures: dict[str, list[str]] = field(default_factory=dict)


def warm_up(instrument: Instrument, step: Step, plan: Plan) -> float:
    """Repeats a call until the last two windows agree within 1 %, or the plan's bound is reached.

    Returns:
        How long it took, in seconds.
    """
    start, previous = time.perf_counter(), None
    window = min(_WINDOW_SECONDS, plan.trial_seconds / 2)
    while True:
        stretch = Instrument(None, instrument.device).stretch(step, window)
        pace = stretch.seconds / stretch.calls
        spent = time.perf_counter() - start
        settled = previous is not None and abs(pace - previous) <= _AGREEMENT * previous
        if settled or spent >= plan.warmup_seconds:
            return spent
        previous = pace


def block_order(names: list[str], block: int) -> list[str]:
    """The order of the networks in a block: as given in even blocks, reversed in odd ones."""
    return names if block % 2 == 0 else names[::-1]


def run_trials(instrument: Instrument, steps: Mapping[str, Step], plan: Plan, progress: Progress) -> Run:
    """Runs the interleaved trials: one discarded block and `plan.trials` counted ones.

    Args:
        instrument: What measures.
        steps: One call of each network, on a batch of `plan.batch_size` images.
        plan: How many trials, how long, and the seed of the pauses.
        progress: Told of every block.
    """
    pauses = random.Random(plan.seed)
    run = Run({name: [] for name in steps})
    start, order = time.perf_counter(), 0
    for block in range(plan.trials + 1):
        progress(f"trials, block {block} of {plan.trials}", block / (plan.trials + 1))
        for name in block_order(list(steps), block):
            time.sleep(pauses.uniform(0, longest_pause(plan)))
            started = time.perf_counter() - start
            stretch = instrument.stretch(steps[name], plan.trial_seconds)
            if stretch.why_not is not None and instrument.meter is not None:
                _add_once(run.failures.setdefault(name, []), stretch.why_not)
            run.trials[name].append(
                Trial(
                    block=block,
                    order=order,
                    started_seconds=started,
                    seconds=stretch.seconds,
                    calls=stretch.calls,
                    inferences=stretch.calls * plan.batch_size,
                    joules=stretch.joules,
                    discarded=block == 0,
                )
            )
            order += 1
    return run


def longest_pause(plan: Plan) -> float:
    """Upper end of the random pause before a trial, in seconds."""
    return min(_LONGEST_PAUSE_SECONDS, plan.trial_seconds / 10)


def planned_seconds(plan: Plan, n_models: int) -> float:
    """How long an audit takes at most, in seconds, without the accuracy pass and the loading.

    A single call that takes longer than a trial is finished all the same.
    """
    trials = (plan.trials + 1) * (plan.trial_seconds + longest_pause(plan) / 2)
    return 2 * plan.idle_seconds + n_models * (plan.warmup_seconds + trials)


def _add_once(reasons: list[str], reason: str) -> None:
    if reason not in reasons:
        reasons.append(reason)

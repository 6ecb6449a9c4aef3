"""Everything that a profile derives from its trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

from greenadapt.profile import Idle, Interval, Summary, Trial
from greenadapt.statistics.blocks import counted, per_inference, single_interval


def coefficient_of_variation(trials: Sequence[Trial]) -> float:
    """Standard deviation over mean of the seconds per inference of the counted trials."""
    rates = [trial.seconds / trial.inferences for trial in counted(trials)]
    mean = math.fsum(rates) / len(rates)
    return math.sqrt(math.fsum((rate - mean) ** 2 for rate in rates) / max(1, len(rates) - 1)) / mean


def idle_watts(idle: Idle) -> float | None:
    """Mean of the idle power before and after, in watts; None if neither is known."""
    known = [watts for watts in (idle.before_watts, idle.after_watts) if watts is not None]
    return math.fsum(known) / len(known) if known else None


def summarize(trials: Sequence[Trial], idle: Idle, batch_size: int, *, idle_doubt: bool = True) -> Summary:
    """Everything that a profile derives from its trials.

    Seconds and gross joules are averaged on the log scale; net joules, which may come out below zero,
    plainly. All by blocks; see `greenadapt.statistics.blocks`. The idle power before and that after may
    differ; the net joules take their mean, so that half their difference times the seconds per inference is
    added to their interval at either end. The systematic uncertainty of a board's
    sensor is not in these intervals: `Method.systematic_fraction` states it.

    Args:
        trials: All trials of one network; the discarded block is left out here.
        idle: Power of the idle machine.
        batch_size: Inferences per call.
        idle_doubt: Whether the net joules' interval holds what the two idle powers differ by; False for
            schema 1.0, whose intervals did not.

    Raises:
        ValueError: Fewer than two blocks count.
    """
    seconds = single_interval(trials, per_inference("seconds"), log=True)
    if seconds is None:
        raise ValueError("a summary needs at least two counted blocks")
    rest, joules = idle_watts(idle), per_inference("joules")

    def net(trial: Trial) -> float | None:
        gross = joules(trial)
        return None if gross is None or rest is None else gross - rest * trial.seconds / trial.inferences

    beyond_idle = single_interval(trials, net, log=False)
    if beyond_idle is not None and idle_doubt:
        beyond_idle = _widened(beyond_idle, _idle_half_difference(idle) * seconds.mean)
    return Summary(
        seconds_per_inference=seconds,
        seconds_per_batch=Interval(
            mean=seconds.mean * batch_size,
            low=seconds.low * batch_size,
            high=seconds.high * batch_size,
            trials=seconds.trials,
        ),
        inferences_per_second=1 / seconds.mean,
        joules_per_inference=single_interval(trials, joules, log=True),
        net_joules_per_inference=beyond_idle,
    )


def _idle_half_difference(idle: Idle) -> float:
    """In watts; 0 where one of the two is unknown, since nothing tells then."""
    if idle.before_watts is None or idle.after_watts is None:
        return 0.0
    return abs(idle.before_watts - idle.after_watts) / 2


def _widened(found: Interval, by: float) -> Interval:
    return found.model_copy(update={"low": found.low - by, "high": found.high + by})

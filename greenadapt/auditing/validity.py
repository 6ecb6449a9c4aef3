"""Whether the numbers of an audit may be used: valid, suspect or invalid, and why.

valid      with remarks that a reader must know: a quick plan, random images or weights
suspect    something disturbed the run: other processes, throttling, trials that scatter, a meter that failed
invalid    no measurement at all: a replayed recording
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal

from greenadapt.boards import BoardState
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Plan, Trial, Validity
from greenadapt.statistics import coefficient_of_variation, counted

_SCATTER = 0.05
_SHARE_OF_OTHERS = 0.1


def judge(
    *,
    plan: Plan,
    trials: Sequence[Trial],
    info: MeterInfo | None,
    failures: Sequence[str],
    before: BoardState,
    after: BoardState,
    others_cores: float | None,
    weights: Literal["pretrained", "trained", "random"],
    data: Literal["real", "random"],
) -> Validity:
    """Judges one profile.

    Args:
        plan: What was asked.
        trials: All trials of the network.
        info: The meter's; None without one.
        failures: Why the energy of some trials is unknown.
        before: The board before the trials.
        after: The board after them.
        others_cores: How many cores other programs kept busy during the trials, if the processor did
            the work; None if unknown, or if a board did it.
        weights: Where the weights come from.
        data: Whether the images are real.
    """
    wrong = (
        ["The readings are replayed from a recording."] if info is not None and info.name == "replay" else []
    )
    doubts = [*_disturbances(before, after), *_crowd(others_cores), *_scatter(trials), *failures]
    remarks = _remarks(plan, weights, data)
    status: Literal["valid", "suspect", "invalid"] = "invalid" if wrong else "suspect" if doubts else "valid"
    return Validity(status=status, reasons=[*wrong, *doubts, *remarks])


def _disturbances(before: BoardState, after: BoardState) -> list[str]:
    found = []
    others = max(before.other_processes or 0, after.other_processes or 0)
    if others:
        found.append(f"{others} other process{'es' if others > 1 else ''} computed on the board.")
    if before.thermal_seconds is not None and after.thermal_seconds is not None:
        throttled = after.thermal_seconds - before.thermal_seconds
        if throttled > 0:
            found.append(f"Heat throttled the board for {throttled:.3f} s.")
    if after.slowdown:
        found.append("The board was slowed down by heat or by its power supply.")
    if before.power_limit_watts != after.power_limit_watts:
        found.append(
            f"The power limit went from {before.power_limit_watts} W to {after.power_limit_watts} W."
        )
    return found


def _crowd(others_cores: float | None) -> list[str]:
    cores = os.cpu_count() or 1
    if others_cores is None or others_cores <= _SHARE_OF_OTHERS * cores:
        return []
    return [f"Other programs kept {others_cores:.1f} of {cores} cores busy during the trials."]


def _scatter(trials: Sequence[Trial]) -> list[str]:
    scatter = coefficient_of_variation(trials)
    if scatter <= _SCATTER:
        return []
    return [f"The time per inference scatters by {scatter:.0%} over {len(counted(trials))} trials."]


def _remarks(plan: Plan, weights: str, data: str) -> list[str]:
    remarks = []
    if plan.quick:
        remarks.append(
            f"A quick plan: {plan.trials} trials of {plan.trial_seconds:g} s; the intervals are wide."
        )
    if weights == "random":
        remarks.append("The weights are random: accuracy means nothing, and power depends on the weights.")
    if data == "random":
        remarks.append(
            "The images are random: power, and what an adaptive network runs, depend on the images."
        )
    return remarks

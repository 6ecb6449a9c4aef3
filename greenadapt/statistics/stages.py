"""Stage two: how many blocks more bring the interval of the worst ratio to the target.

    pilot of n blocks ──> interval reaches r to either side (log scale) ──> N = n (r / target)^2 blocks in all
                                                                            or what the budget affords

Where trials have no figure, n counts the pilot's blocks all the same: r rests on the fewer that are left, and
as large a share of the later ones is expected to be lost.

The number is settled once, from the pilot alone. Stopping as soon as the interval looks narrow enough stops
too often where it is narrow by chance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from greenadapt.profile import Interval, Plan, Stages, Trial
from greenadapt.statistics.blocks import Quantity, paired_ratio, per_inference, single_interval

_LEAST_BLOCKS = 2
_ROUNDING = 1e-9


def pilot_blocks(plan: Plan) -> int:
    """How many counted blocks, of two trials of each network, the pilot has."""
    return max(_LEAST_BLOCKS, math.ceil(plan.trials / 2))


def settle(
    trials: Mapping[str, Sequence[Trial]], plan: Plan, trial_seconds: float, *, measured: bool
) -> Stages:
    """Decides from a run's pilot how many blocks it has.

    Args:
        trials: The trials of each network, the base first; those after the pilot are not looked at.
        plan: Its target and its budget.
        trial_seconds: Length that was asked of each trial.
        measured: Whether a counter measured the joules; an estimate of them steers nothing.

    Returns:
        The decision, the same whether the second stage has run or not.
    """
    pilot = {name: [trial for trial in each if trial.stage == 1] for name, each in trials.items()}
    found = _worst(pilot, "joules") if measured else None
    quantity: Quantity | None = "joules" if found is not None else "seconds"
    found = found or _worst(pilot, "seconds")
    steered = plan.target_fraction is not None and found is not None
    made = Stages(
        networks=list(trials),
        trial_seconds=trial_seconds,
        pilot_blocks=pilot_blocks(plan),
        quantity=quantity if found is not None else None,
        worst=found[0] if found is not None else None,
        pilot_fraction=found[1] if found is not None else None,
        affordable_blocks=_affordable(pilot, plan) if steered else None,
        blocks=pilot_blocks(plan),
        reason="",
    )
    return decided(made, plan)


def decided(stages: Stages, plan: Plan) -> Stages:
    """What follows from the pilot's figures: blocks needed, blocks to run, and the reason.

    Args:
        stages: The pilot's figures: `pilot_blocks`, `pilot_fraction`, `affordable_blocks`.
        plan: Its target.
    """
    needed = _needed(stages, plan)
    affordable, pilot = stages.affordable_blocks, stages.pilot_blocks
    blocks = pilot if needed is None or affordable is None else max(pilot, min(needed, affordable))
    update = {"needed_blocks": needed, "blocks": blocks}
    settled = stages.model_copy(update=update)
    return settled.model_copy(update={"reason": _reason(settled, plan)})


def affordable_range(own: Sequence[Trial], plan: Plan) -> tuple[int, int]:
    """Between which `affordable_blocks` must lie, as far as one network's trials tell.

    The figure rests on when the pilot's last trial ended, whichever network that was of: not before this
    network's last trial of the pilot, and not after its first one of the second stage.

    Args:
        own: The trials of one network, some of them of the pilot.
        plan: Its budget.
    """
    pilot = [trial for trial in own if trial.stage == 1]
    ended = max(trial.started_seconds + trial.seconds for trial in pilot)
    later = [trial.started_seconds for trial in own if trial.stage == 2]
    least = _affordable_after(min(later), plan) if later else pilot_blocks(plan)
    return least, _affordable_after(ended, plan)


def reach_fraction(found: Interval) -> float:
    """How far an interval on the log scale reaches to either side, as a fraction."""
    return math.sqrt(found.high / found.low) - 1


def _worst(pilot: Mapping[str, Sequence[Trial]], quantity: Quantity) -> tuple[str, float] | None:
    """The network known least well, and how far its interval reaches; None if one has no figure."""
    (base, of_base), *others = pilot.items()
    intervals: dict[str, Interval | None]
    if others:
        intervals = {name: paired_ratio(of_base, each, quantity) for name, each in others}
    else:
        intervals = {base: single_interval(of_base, per_inference(quantity), log=True)}
    reaches = [(name, reach_fraction(found)) for name, found in intervals.items() if found is not None]
    if len(reaches) < len(intervals):
        return None
    return max(reaches, key=lambda each: each[1])


def _affordable(pilot: Mapping[str, Sequence[Trial]], plan: Plan) -> int:
    return _affordable_after(
        max(trial.started_seconds + trial.seconds for each in pilot.values() for trial in each), plan
    )


def _affordable_after(spent: float, plan: Plan) -> int:
    blocks = pilot_blocks(plan)
    pace = spent / (blocks + 1)
    return blocks + max(0, math.floor((plan.budget_seconds - spent) / pace))


def _needed(stages: Stages, plan: Plan) -> int | None:
    if plan.target_fraction is None or stages.pilot_fraction is None:
        return None
    excess = math.log1p(stages.pilot_fraction) / math.log1p(plan.target_fraction)
    # Another platform's logarithm may differ in the last place, and must not ask for another block.
    return max(_LEAST_BLOCKS, math.ceil(stages.pilot_blocks * excess**2 - _ROUNDING))


def _reason(stages: Stages, plan: Plan) -> str:
    if plan.target_fraction is None:
        return "No second stage was asked for."
    if stages.needed_blocks is None or stages.affordable_blocks is None:
        return "No second stage: the pilot has too few readings to size one."
    target, reached = _percent(plan.target_fraction), _percent(stages.pilot_fraction or 0.0)
    known = f"{stages.quantity} of {stages.worst}"
    if stages.needed_blocks <= stages.pilot_blocks:
        return f"The pilot was enough: {known} within {reached}, {target} wanted."
    if stages.needed_blocks <= stages.affordable_blocks:
        return f"The pilot left {known} at {reached}; {stages.needed_blocks} blocks bring it to {target}."
    return (
        f"The pilot left {known} at {reached}; {target} would take {stages.needed_blocks} "
        f"blocks, and the budget of {plan.budget_seconds:g} s ends after {stages.blocks}."
    )


def _percent(fraction: float) -> str:
    return f"±{100 * fraction:.2g} %"

"""One network under one setting, as a row: its figures, its changes against the base, its verdict."""

from __future__ import annotations

from collections.abc import Sequence

from greenadapt.comparison.across import setting_of
from greenadapt.comparison.result import Role, Row
from greenadapt.comparison.verdicts import Versus, sign_of_ratio
from greenadapt.profile import Interval, Profile

_FLOPS_PER_MAC = 2
_LOSSES_NAMED = 3


def row_of(
    profiles: Sequence[Profile], index: int, role: Role, versus: Sequence[Versus], across: Sequence[str] = ()
) -> Row:
    """The row of one profile.

    Args:
        profiles: All of them, the base first.
        index: Which one.
        role: Its role.
        versus: Every pair; those of this network give its ratios and its verdict.
        across: The conditions that may differ.
    """
    base, profile = profiles[0], profiles[index]
    pairs = [pair for pair in versus if pair.network == profile.subject.name]
    against_base = next((pair for pair in pairs if pair.other == base.subject.name), None)
    flops, base_flops = _flops(profile), _flops(base)
    flops_ratio = flops / base_flops if against_base and flops is not None and base_flops else None
    latency = against_base.latency if against_base else None
    energy = against_base.energy if against_base else None
    quality, summary = profile.quality, profile.summary
    parameters, base_parameters = profile.subject.parameters, base.subject.parameters
    return Row(
        name=profile.subject.name,
        role=role,
        parameters=parameters,
        parameters_ratio=parameters / base_parameters if index and parameters and base_parameters else None,
        flops_per_image=flops,
        flops_ratio=flops_ratio,
        seconds_per_inference=summary.seconds_per_inference,
        seconds_per_batch=summary.seconds_per_batch,
        latency_ratio=latency,
        joules_per_inference=summary.joules_per_inference,
        energy_kind=profile.method.kind if summary.joules_per_inference else None,
        energy_ratio=energy,
        top1=quality.top1 if quality else None,
        top1_low=quality.top1_low if quality else None,
        top1_high=quality.top1_high if quality else None,
        top1_difference=against_base.accuracy if against_base else None,
        realised_share=_realised(latency, flops_ratio),
        realised_energy_share=_realised(energy, flops_ratio),
        payback_inferences=_payback(base, profile, energy),
        paired=against_base.paired if against_base else None,
        validity=profile.validity.status,
        verdict=_verdict(against_base, pairs),
        setting=setting_of(profile.conditions, across),
    )


def _flops(profile: Profile) -> float | None:
    macs = profile.subject.macs_per_image
    return None if macs is None else _FLOPS_PER_MAC * macs


def _realised(ratio: Interval | None, flops_ratio: float | None) -> float | None:
    """(1 - t/t0) / (1 - F/F0); the ratio of speed-ups would flatter."""
    if ratio is None or flops_ratio is None or flops_ratio >= 1:
        return None
    return (1 - ratio.mean) / (1 - flops_ratio)


def _payback(base: Profile, profile: Profile, energy: Interval | None) -> float | None:
    """Inferences until the joules of the retrofit's own training are saved; None if that is not known."""
    before, after = base.summary.joules_per_inference, profile.summary.joules_per_inference
    if energy is None or sign_of_ratio(energy) >= 0 or before is None or after is None:
        return None
    trainings = [run for run in profile.subject.recipe.training if run not in base.subject.recipe.training]
    spent = [run.joules for run in trainings if run.joules is not None and run.energy_kind == "measured"]
    if not trainings or len(spent) < len(trainings):
        return None
    return sum(spent) / (before.mean * (1 - energy.mean))


def _verdict(against_base: Versus | None, pairs: Sequence[Versus]) -> str:
    """The outcome against the base, and every rival that a retrofit loses to."""
    if against_base is None:
        return "the base"
    losing = [pair.other for pair in pairs if pair.outcome == "loses to" and pair is not against_base]
    outcome = f"{against_base.outcome} {against_base.other}"
    if len(losing) > _LOSSES_NAMED:
        losing = [*losing[:_LOSSES_NAMED], f"{len(losing) - _LOSSES_NAMED} more"]
    return f"{outcome}; loses to {', '.join(losing)}" if losing else outcome

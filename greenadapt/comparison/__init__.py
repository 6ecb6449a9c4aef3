"""Puts profiles side by side: ratios with intervals, paired accuracy, realised share, pay-back, verdicts.

Profiles of one interleaved run are compared block by block, so that heat and clock drift cancel; profiles of
different runs by Welch's interval, and the comparison says so. Energies are compared only if counters of one
kind measured both; profiles whose conditions differ are not compared at all.
"""

from __future__ import annotations

from collections import Counter

from greenadapt.comparison.caveats import caveats, method_line
from greenadapt.comparison.differences import AccuracyDifference, accuracy_difference, unpaired_ratio
from greenadapt.comparison.result import Comparison, Role, Row
from greenadapt.comparison.verdicts import Versus, sign_of_ratio
from greenadapt.errors import OptionError, ProfileError
from greenadapt.profile import Interval, Profile
from greenadapt.statistics import paired_ratio, per_block

_FLOPS_PER_MAC = 2


def compare(base: Profile, *others: Profile) -> Comparison:
    """Compares networks under the same conditions.

    Args:
        base: What the others are held against.
        *others: Retrofits, and the rivals that stand beside them.

    Raises:
        OptionError: There is nothing to compare with.
        ProfileError: The conditions differ, or a profile has too few trials.
    """
    if not others:
        raise OptionError(
            "There is nothing to compare with.",
            f"Only {base.subject.name} was given.",
            "Give two profiles or more.",
        )
    profiles = _with_distinct_names([base, *others])
    for profile in profiles[1:]:
        _check_conditions(profiles[0], profile)
    roles: list[Role] = ["base", *(_role(profile) for profile in profiles[1:])]
    versus = _pairs(profiles, roles)
    rows = tuple(_row(profiles, index, roles[index], versus) for index in range(len(profiles)))
    return Comparison(
        rows=rows,
        conditions=base.conditions,
        versus=tuple(versus),
        caveats=tuple(caveats(profiles)),
        method=method_line(profiles),
        profiles=tuple(profiles),
    )


def _with_distinct_names(profiles: list[Profile]) -> list[Profile]:
    """A name that occurs twice gets a number, so that sentences stay clear."""
    seen: Counter[str] = Counter()
    named = []
    for profile in profiles:
        name = profile.subject.name
        seen[name] += 1
        if seen[name] > 1:
            subject = profile.subject.model_copy(update={"name": f"{name} ({seen[name]})"})
            profile = profile.model_copy(update={"subject": subject})
        named.append(profile)
    return named


def _role(profile: Profile) -> Role:
    adapted = profile.subject.recipe.adapter is not None or profile.subject.role == "retrofit"
    return "retrofit" if adapted else "rival"


def _check_conditions(base: Profile, other: Profile) -> None:
    ours, theirs = base.conditions.model_dump(mode="json"), other.conditions.model_dump(mode="json")
    differing = [
        f"{field}: {ours[field]!r} and {theirs[field]!r}" for field in ours if ours[field] != theirs[field]
    ]
    if differing:
        raise ProfileError(
            f"{base.subject.name} and {other.subject.name} were not measured under the same conditions.",
            f"They differ in {'; '.join(differing)}.",
            "Audit both in one command: greenadapt audit MODEL MODEL --out FOLDER",
        )


def _pairs(profiles: list[Profile], roles: list[Role]) -> list[Versus]:
    """Each retrofit with the base and then with each rival; then the rivals with the base."""
    base = profiles[0]
    retrofits, rivals = (
        [profile for profile, role in zip(profiles, roles, strict=True) if role == wanted]
        for wanted in ("retrofit", "rival")
    )
    pairs = [_versus(retrofit, other) for retrofit in retrofits for other in (base, *rivals)]
    return pairs + [_versus(rival, base) for rival in rivals]


def _versus(one: Profile, other: Profile) -> Versus:
    latency = _ratio(one, other, "seconds")
    if latency is None:
        raise ProfileError(
            f"{one.subject.name} and {other.subject.name} cannot be compared.",
            "They have fewer than two counted trials, or two common blocks, with a reading.",
            "Audit them again with more --trials.",
        )
    return Versus(
        network=one.subject.name,
        other=other.subject.name,
        latency=latency,
        energy=_ratio(one, other, "joules") if _measured_alike(one, other) else None,
        accuracy=_accuracy(one, other),
        paired=one.run_id == other.run_id,
        usable="invalid" not in (one.validity.status, other.validity.status),
    )


def _ratio(one: Profile, other: Profile, quantity: str) -> Interval | None:
    ours, theirs = per_block(one.trials, quantity), per_block(other.trials, quantity)
    if one.run_id == other.run_id:
        return paired_ratio(base=theirs, other=ours)
    return unpaired_ratio(base=theirs.values(), other=ours.values())


def _measured_alike(one: Profile, other: Profile) -> bool:
    return one.method.kind == other.method.kind == "measured" and one.method.scope == other.method.scope


def _accuracy(one: Profile, other: Profile) -> AccuracyDifference | None:
    if one.quality is None or other.quality is None:
        return None
    return accuracy_difference(one.quality, other.quality)


def _row(profiles: list[Profile], index: int, role: Role, versus: list[Versus]) -> Row:
    base, profile = profiles[0], profiles[index]
    pairs = [pair for pair in versus if pair.network == profile.subject.name]
    against_base = next((pair for pair in pairs if pair.other == base.subject.name), None)
    flops, base_flops = _flops(profile), _flops(base)
    flops_ratio = flops / base_flops if against_base and flops is not None and base_flops else None
    latency = against_base.latency if against_base else None
    energy = against_base.energy if against_base else None
    quality, summary = profile.quality, profile.summary
    return Row(
        name=profile.subject.name,
        role=role,
        parameters=profile.subject.parameters,
        parameters_ratio=profile.subject.parameters / base.subject.parameters if index else None,
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


def _verdict(against_base: Versus | None, pairs: list[Versus]) -> str:
    """The outcome against the base, and every rival that a retrofit loses to."""
    if against_base is None:
        return "the base"
    losing = [pair.other for pair in pairs if pair.outcome == "loses to" and pair is not against_base]
    outcome = f"{against_base.outcome} {against_base.other}"
    return f"{outcome}; loses to {', '.join(losing)}" if losing else outcome

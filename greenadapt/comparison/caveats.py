"""What a reader must know before using the numbers of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenadapt.profile import Profile

_NAMED = 6


def method_line(profiles: Sequence[Profile]) -> str:
    """Which instrument gave the joules, what it covers, and whether it measured or estimated."""
    kinds = {profile.method.kind for profile in profiles}
    method = profiles[0].method
    if len(kinds) > 1:
        return (
            "Energy: not the same instrument for all; each figure says whether it was measured or estimated."
        )
    if method.kind is None:
        return f"Energy: unknown. {method.why_not or 'No instrument could be used.'}"
    if method.kind == "estimated":
        return (
            f"Energy: estimated: constant power x time ({method.meter}, {method.scope}); "
            "verdicts are on latency alone."
        )
    systematic = (
        f"; absolute joules share an uncertainty of ±{method.systematic_fraction:.0%}; ratios do not"
        if method.systematic_fraction
        else ""
    )
    return f"Energy: measured ({method.meter}, {method.scope}, idle power included){systematic}."


def caveats(profiles: Sequence[Profile], across: Sequence[str] = ()) -> list[str]:
    """Sentences that belong beside the table.

    Args:
        profiles: The base first.
        across: The conditions that may differ.
    """
    return [*_of_validity(profiles), *_of_each(profiles), *_of_settings(profiles, across), *_of_all(profiles)]


def _of_settings(profiles: Sequence[Profile], across: Sequence[str]) -> Iterator[str]:
    conditions = [profile.conditions for profile in profiles]
    if "batch" in across and len({each.batch_size for each in conditions}) > 1:
        yield (
            "Figures per image hide what a batch costs in latency: all its images wait for the last; see "
            "time/batch."
        )
    if "compile" in across and any(each.compile for each in conditions):
        yield "Compiling is not counted; it costs once per batch size, and pays back only in long service."


def _of_each(profiles: Sequence[Profile]) -> Iterator[str]:
    base = profiles[0]
    for profile in profiles[1:]:
        name = profile.subject.name
        if profile.run_id != base.run_id:
            yield f"{name} ran apart from {base.subject.name} (unpaired): drift stays in its ratios."
        if (profile.method.kind, profile.method.scope) != (base.method.kind, base.method.scope):
            yield (
                f"The energy of {name} is {_kind(profile)} and that of {base.subject.name} {_kind(base)}: "
                "they are not compared."
            )
        if profile.quality is None or base.quality is None:
            continue
        if profile.quality.fingerprint != base.quality.fingerprint:
            yield f"{name} saw other images than {base.subject.name}: their accuracies are not compared."


def _of_validity(profiles: Sequence[Profile]) -> Iterator[str]:
    """Which audits are not valid, and each reason or remark once, with the networks that it concerns."""
    for status in ("invalid", "suspect"):
        names = [profile.subject.name for profile in profiles if profile.validity.status == status]
        if names:
            yield f"{status.capitalize()}: {_who(names, profiles)}."
    concerned: dict[str, list[str]] = {}
    for profile in profiles:
        for reason in profile.validity.reasons:
            concerned.setdefault(reason, []).append(profile.subject.name)
    for reason, names in sorted(concerned.items(), key=lambda each: -len(each[1])):
        yield reason if len(names) == len(profiles) else f"{_who(names, profiles)}: {reason}"


def _who(names: list[str], profiles: Sequence[Profile]) -> str:
    """Whom something concerns: a network whose settings are all concerned is named once."""
    if len(names) == len(profiles):
        return "all networks"
    settings: dict[str, list[str]] = {}
    for profile in profiles:
        settings.setdefault(profile.subject.name.partition("@")[0], []).append(profile.subject.name)
    told = []
    for network, own in settings.items():
        concerned = [name for name in own if name in names]
        told += [f"{network} throughout"] if len(concerned) == len(own) > 1 else concerned
    more = [f"{len(told) - _NAMED} more"] if len(told) > _NAMED else []
    return ", ".join([*told[:_NAMED], *more])


def _of_all(profiles: Sequence[Profile]) -> Iterator[str]:
    if any(profile.quality is None for profile in profiles):
        yield "No accuracy was measured for some of the networks: a saving without it is not a verdict."
    yield (
        "FLOPs are 2 x MAC of convolutions and linear layers, policy and branches included. "
        "Intervals are at 95 %, tests at 5 %, not corrected for their number."
    )


def _kind(profile: Profile) -> str:
    return f"{profile.method.kind} ({profile.method.scope})" if profile.method.kind else "unknown"

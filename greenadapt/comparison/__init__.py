"""Puts profiles side by side: ratios with intervals, paired accuracy, realised share, pay-back, verdicts.

Profiles of one interleaved run are compared block by block, so that heat and clock drift cancel; profiles of
different runs by Welch's interval, and the comparison says so. Energies are compared only if counters of one
kind measured both. Profiles whose conditions differ are not compared at all, unless the difference is what is
asked about:

    across.py     conditions that rivals may differ in, such as precision and batch size
    rows.py       one network under one setting, as a row
    findings.py   the cheapest at equal accuracy
    knees.py      the batch at the knee, where the intervals settle it
    grams.py      carbon: a line per place
    verdicts.py   one against another, in words
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from greenadapt.comparison.across import FIELDS, change_words, checked_across
from greenadapt.comparison.caveats import caveats, method_line
from greenadapt.comparison.differences import AccuracyDifference, accuracy_difference, unpaired_ratio
from greenadapt.comparison.findings import Cheapest, cheapest
from greenadapt.comparison.knees import knees
from greenadapt.comparison.result import Comparison, Role, Row
from greenadapt.comparison.rows import row_of
from greenadapt.comparison.verdicts import Versus
from greenadapt.errors import OptionError, ProfileError
from greenadapt.profile import Interval, Profile
from greenadapt.statistics import Quantity, paired_ratio, per_block


def compare(base: Profile, *others: Profile, across: Sequence[str] = ()) -> Comparison:
    """Compares networks under the same conditions, or across conditions that are named.

    Args:
        base: What the others are held against.
        *others: Retrofits, and the rivals that stand beside them: plain networks, and the same network under
            settings that need no training.
        across: Conditions that may differ, such as ``("precision", "compile", "batch")``; see
            `greenadapt.comparison.across`.

    Raises:
        OptionError: There is nothing to compare with, or nothing that can be compared across.
        ProfileError: The conditions differ, or a profile has too few trials.
    """
    if not others:
        raise OptionError(
            "There is nothing to compare with.",
            f"Only {base.subject.name} was given.",
            "Give two profiles or more.",
        )
    across = checked_across(across)
    profiles = _with_distinct_names([base, *others], across)
    for profile in profiles[1:]:
        _check_conditions(profiles[0], profile, across)
    roles: list[Role] = ["base", *(_role(profile) for profile in profiles[1:])]
    versus = _pairs(profiles, roles, across)
    rows = tuple(row_of(profiles, index, roles[index], versus, across) for index in range(len(profiles)))
    return Comparison(
        rows=rows,
        conditions=base.conditions,
        versus=tuple(_told(versus, rows[0].name) if across else versus),
        caveats=tuple(caveats(profiles, across)),
        method=method_line(profiles),
        profiles=tuple(profiles),
        across=across,
        cheapest=_cheapest(profiles, rows, versus) if across else None,
        knees=tuple(knees([base, *others], _ratio)) if "batch" in across else (),
    )


def _cheapest(profiles: Sequence[Profile], rows: Sequence[Row], versus: Sequence[Versus]) -> Cheapest | None:
    by_name = {profile.subject.name: profile for profile in profiles}
    return cheapest(rows, versus, lambda one, other: _versus(by_name[one], by_name[other]))


def _with_distinct_names(profiles: list[Profile], across: Sequence[str]) -> list[Profile]:
    """A name that occurs twice gets its setting or else a number, so that sentences stay clear."""
    seen: Counter[str] = Counter()
    named = []
    for profile in profiles:
        name = profile.subject.name
        if name in seen:
            change = change_words(profiles[0].conditions, profile.conditions, across)
            name = f"{name} ({change})" if change else name
        seen[name] += 1
        if seen[name] > 1:
            name = f"{name} ({seen[name]})"
        subject = profile.subject.model_copy(update={"name": name})
        named.append(profile.model_copy(update={"subject": subject}))
    return named


def _role(profile: Profile) -> Role:
    adapted = profile.subject.recipe.adapter is not None or profile.subject.role == "retrofit"
    return "retrofit" if adapted else "rival"


def _check_conditions(base: Profile, other: Profile, across: Sequence[str]) -> None:
    ours, theirs = base.conditions.model_dump(mode="json"), other.conditions.model_dump(mode="json")
    allowed = {FIELDS[name] for name in across}
    differing = [field for field in ours if ours[field] != theirs[field] and field not in allowed]
    if not differing:
        return
    named = [name for name, field in FIELDS.items() if field in differing]
    seen = "; ".join(f"{field}: {ours[field]!r} and {theirs[field]!r}" for field in differing)
    raise ProfileError(
        f"{base.subject.name} and {other.subject.name} were not measured under the same conditions.",
        f"They differ in {seen}.",
        _way_out(across, named, [field for field in differing if field not in FIELDS.values()]),
    )


def _way_out(across: Sequence[str], named: Sequence[str], rest: Sequence[str]) -> str:
    names = (*across, *named)
    if not rest:
        return f"Name what may differ: --across {','.join(names)}, or across={names!r}."
    again = "audit both in one command: greenadapt audit MODEL MODEL --out FOLDER"
    if not named:
        return f"A{again[1:]}"
    return f"--across could take {', '.join(named)}, but not {', '.join(rest)}: {again}"


def _pairs(profiles: list[Profile], roles: list[Role], across: Sequence[str]) -> list[Versus]:
    """Each retrofit with the base and then with each rival; then the rivals with the base."""
    base = profiles[0]
    retrofits, rivals = (
        [profile for profile, role in zip(profiles, roles, strict=True) if role == wanted]
        for wanted in ("retrofit", "rival")
    )
    pairs = []
    for retrofit in retrofits:
        pairs += [_versus(retrofit, base, across), *(_versus(retrofit, rival) for rival in rivals)]
    return pairs + [_versus(rival, base, across) for rival in rivals]


def _told(versus: Sequence[Versus], base: str) -> list[Versus]:
    """Of many pairs: each with the base, followed by the worst of the rivals that it loses to."""
    told = []
    for against_base in versus:
        if against_base.other != base:
            continue
        losing = [
            pair
            for pair in versus
            if pair.network == against_base.network and pair.outcome == "loses to" and pair.other != base
        ]
        worst = max(losing, key=lambda pair: (pair.energy or pair.latency).mean, default=None)
        told += [against_base] if worst is None else [against_base, worst]
    return told


def _versus(one: Profile, other: Profile, across: Sequence[str] = ()) -> Versus:
    latency = _ratio(one, other, "seconds")
    if latency is None:
        raise ProfileError(
            f"{one.subject.name} and {other.subject.name} cannot be compared.",
            "They have fewer than two counted trials, or two common blocks, with a reading.",
            "Audit them again with more --trials.",
        )
    batches = (one.summary.seconds_per_batch.mean, other.summary.seconds_per_batch.mean)
    return Versus(
        network=one.subject.name,
        other=other.subject.name,
        latency=latency,
        energy=_ratio(one, other, "joules") if _measured_alike(one, other) else None,
        accuracy=_accuracy(one, other),
        paired=one.run_id == other.run_id,
        usable="invalid" not in (one.validity.status, other.validity.status),
        change=change_words(other.conditions, one.conditions, across),
        batch_seconds=batches if one.conditions.batch_size != other.conditions.batch_size else None,
    )


def _ratio(one: Profile, other: Profile, quantity: Quantity) -> Interval | None:
    if one.run_id == other.run_id:
        return paired_ratio(base=other.trials, other=one.trials, quantity=quantity)
    ours, theirs = per_block(one.trials, quantity), per_block(other.trials, quantity)
    return unpaired_ratio(base=theirs.values(), other=ours.values())


def _measured_alike(one: Profile, other: Profile) -> bool:
    return one.method.kind == other.method.kind == "measured" and one.method.scope == other.method.scope


def _accuracy(one: Profile, other: Profile) -> AccuracyDifference | None:
    if one.quality is None or other.quality is None:
        return None
    return accuracy_difference(one.quality, other.quality)

"""Computes again what a profile derives from its raw readings, for `greenadapt check`.

trials, idle ──> summary ──> carbon
hits ──────────> top-1 and its interval
path shares ───> mean blocks kept
everything ────> profile_id
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from greenadapt.carbon import grams_per_1000
from greenadapt.errors import ProfileError
from greenadapt.profile import Execution, Interval, Profile, Quality
from greenadapt.statistics import counted, summarize, unpack_hits, wilson

_RELATIVE = 1e-9


def differences(profile: Profile) -> list[str]:
    """What in a profile does not follow from its raw readings.

    Args:
        profile: Any profile.

    Returns:
        One line per figure: where it is, what it says, and what it should say. Empty if all is well.
    """
    return [
        *_trials(profile),
        *_derived(profile),
        *(_quality(profile.quality) if profile.quality is not None else ()),
        *(_execution(profile.execution) if profile.execution is not None else ()),
        *_identity(profile),
    ]


def _identity(profile: Profile) -> Iterator[str]:
    if profile.profile_id != profile.body_sha256():
        yield _line("profile_id", profile.profile_id, profile.body_sha256())


def _trials(profile: Profile) -> Iterator[str]:
    plan, size = profile.plan, profile.conditions.batch_size
    if size != plan.batch_size:
        yield _line("conditions.batch_size", size, plan.batch_size)
    for number, trial in enumerate(profile.trials):
        if trial.inferences != trial.calls * size:
            yield _line(f"trials.{number}.inferences", trial.inferences, trial.calls * size)
        if trial.discarded != (trial.block == 0):
            yield _line(f"trials.{number}.discarded", trial.discarded, trial.block == 0)
    if len(counted(profile.trials)) != plan.trials:
        yield _line("number of counted trials", len(counted(profile.trials)), plan.trials)
    if profile.method.kind is None and any(trial.joules is not None for trial in profile.trials):
        yield "method.kind is missing, though trials have joules"


def _derived(profile: Profile) -> Iterator[str]:
    if len(counted(profile.trials)) < 2:
        yield "summary cannot follow from fewer than two counted trials"
        return
    again = summarize(profile.trials, profile.idle, profile.conditions.batch_size)
    yield from _compare("summary", profile.summary.model_dump(), again.model_dump())
    yield from _carbon(profile, again.joules_per_inference)


def _quality(quality: Quality) -> Iterator[str]:
    try:
        hits = unpack_hits(quality.hits, quality.images)
    except ProfileError as error:
        yield f"quality.hits: {error.seen}"
        return
    low, high = wilson(sum(hits), len(hits))
    stored = {"top1": quality.top1, "top1_low": quality.top1_low, "top1_high": quality.top1_high}
    again = {"top1": sum(hits) / len(hits), "top1_low": low, "top1_high": high}
    yield from _compare("quality", stored, again)


def _execution(execution: Execution) -> Iterator[str]:
    shares = execution.path_shares
    for path in shares:
        if len(path) != execution.blocks or set(path) - {"0", "1"}:
            yield f"execution.path_shares has {path!r}, which is no path of {execution.blocks} blocks"
    if len(shares) > execution.paths:
        yield _line("execution.paths", execution.paths, f"at least {len(shares)}")
    if not 0 <= execution.blocks_kept_mean <= execution.blocks:
        yield _line("execution.blocks_kept_mean", execution.blocks_kept_mean, f"0 to {execution.blocks}")
    total = math.fsum(shares.values())
    if total > 1 + _RELATIVE:
        yield _line("the sum of execution.path_shares", total, "at most 1")
    if len(shares) == execution.paths and shares:
        kept = math.fsum(path.count("1") * share for path, share in shares.items())
        again = {"path_shares.sum": 1.0, "blocks_kept_mean": kept}
        stored = {"path_shares.sum": total, "blocks_kept_mean": execution.blocks_kept_mean}
        yield from _compare("execution", stored, again)


def _carbon(profile: Profile, gross: Interval | None) -> Iterator[str]:
    for carbon in profile.carbon:
        where = f"carbon.{carbon.place}"
        if gross is None:
            yield f"{where} cannot follow: the energy is unknown"
            continue
        again = grams_per_1000(gross.mean, carbon.grams_per_kwh)
        yield from _compare(
            where,
            {"grams_per_1000_inferences": carbon.grams_per_1000_inferences},
            {"grams_per_1000_inferences": again},
        )
        if carbon.kind != profile.method.kind:
            yield _line(f"{where}.kind", carbon.kind, profile.method.kind)


def _compare(where: str, stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    for name, new in again.items():
        old, full = stored[name], f"{where}.{name}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _compare(full, old, new)
        elif not _same(old, new):
            yield _line(full, _shown(old), _shown(new))


def _same(old: Any, new: Any) -> bool:
    # Another platform's logarithm may differ in the last place.
    numbers = isinstance(old, (int, float)) and isinstance(new, (int, float))
    return math.isclose(old, new, rel_tol=_RELATIVE) if numbers else bool(old == new)


def _shown(value: Any) -> Any:
    return "nothing" if value is None else value.get("mean") if isinstance(value, dict) else value


def _line(name: str, stored: object, computed: object) -> str:
    return f"{name} says {stored}; the readings give {computed}"

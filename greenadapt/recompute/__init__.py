"""Computes again what a profile derives from its raw readings, for `greenadapt check`.

trials, idle ──> summary ──> carbon
trials, plan ──> stages               where all profiles of the run are at hand, from the pilot on
hits ──────────> top-1 and its interval
decisions ─────> blocks kept, paths, classes, easy and hard images     decisions.py
everything ────> profile_id

`contradictions` are what needs no computing: fields that rule each other out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from greenadapt.carbon import again as grams_again
from greenadapt.errors import ProfileError
from greenadapt.profile import Profile, Quality, Stages, Summary
from greenadapt.recompute.contradictions import FIRST_SCHEMA, self_contradictions
from greenadapt.recompute.decisions import execution_differences
from greenadapt.recompute.lines import compared, line
from greenadapt.statistics import (
    counted,
    decided,
    per_block,
    pilot_blocks,
    settle,
    summarize,
    unpack_hits,
    wilson,
)


def differences(profile: Profile, others: Sequence[Profile] = ()) -> list[str]:
    """What in a profile does not follow from its raw readings.

    Args:
        profile: Any profile.
        others: More profiles; those of the same run are needed to follow what its pilot decided, which
            rests on the trials of all networks. Without them only what follows from the pilot's stated
            figures is computed again, and how many blocks the budget affords is checked against two
            bounds.

    Returns:
        One line per figure: where it is, what it says, and what it should say. Empty if all is well.
    """
    return [
        *_trials(profile),
        *_stages(profile, others),
        *self_contradictions(profile),
        *_derived(profile),
        *(_quality(profile.quality) if profile.quality is not None else ()),
        *execution_differences(profile),
        *_identity(profile),
    ]


def _identity(profile: Profile) -> Iterator[str]:
    if profile.profile_id != profile.body_sha256():
        yield line("profile_id", profile.profile_id, profile.body_sha256())


def _trials(profile: Profile) -> Iterator[str]:
    plan, size = profile.plan, profile.conditions.batch_size
    if size != plan.batch_size:
        yield line("conditions.batch_size", size, plan.batch_size)
    for number, trial in enumerate(profile.trials):
        if trial.inferences != trial.calls * size:
            yield line(f"trials.{number}.inferences", trial.inferences, trial.calls * size)
        if trial.discarded != (trial.block == 0):
            yield line(f"trials.{number}.discarded", trial.discarded, trial.block == 0)
    wanted = plan.trials if profile.stages is None else 2 * profile.stages.blocks
    if len(counted(profile.trials)) != wanted:
        yield line("number of counted trials", len(counted(profile.trials)), wanted)
    if profile.method.kind is None and any(trial.joules is not None for trial in profile.trials):
        yield "method.kind is missing, though trials have joules"


def _stages(profile: Profile, others: Sequence[Profile]) -> Iterator[str]:
    stages, plan = profile.stages, profile.plan
    if stages is None:
        return
    if stages.pilot_blocks != pilot_blocks(plan):
        yield line("stages.pilot_blocks", stages.pilot_blocks, pilot_blocks(plan))
    for number, trial in enumerate(profile.trials):
        stage = 1 if trial.block <= stages.pilot_blocks else 2
        if trial.stage != stage:
            yield line(f"trials.{number}.stage", trial.stage, stage)
    run = _run(profile, stages, others)
    if run is None:
        again = decided(stages, plan)
    else:
        measured = all(each.method.kind == "measured" for each in run)
        trials = {each.subject.name: each.trials for each in run}
        again = settle(trials, plan, stages.trial_seconds, measured=measured)
    yield from compared("stages", stages.model_dump(), again.model_dump())


def _run(profile: Profile, stages: Stages, others: Sequence[Profile]) -> list[Profile] | None:
    """All profiles of a run, in order; None if some are not at hand."""
    named = {each.subject.name: each for each in others if each.run_id == profile.run_id}
    named[profile.subject.name] = profile
    run = [named[name] for name in stages.networks if name in named]
    complete = len(run) == len(stages.networks) and all(counted(each.trials) for each in run)
    return run if complete else None


def _derived(profile: Profile) -> Iterator[str]:
    if len(per_block(profile.trials, "seconds")) < 2:
        yield "summary cannot follow from fewer than two counted blocks"
        return
    idle_doubt = profile.schema_version != FIRST_SCHEMA
    again = summarize(profile.trials, profile.idle, profile.conditions.batch_size, idle_doubt=idle_doubt)
    yield from compared("summary", profile.summary.model_dump(), again.model_dump())
    yield from _carbon(profile, again)


def _quality(quality: Quality) -> Iterator[str]:
    try:
        hits = unpack_hits(quality.hits, quality.images)
    except ProfileError as error:
        yield f"quality.hits: {error.seen}"
        return
    low, high = wilson(sum(hits), len(hits))
    stored = {"top1": quality.top1, "top1_low": quality.top1_low, "top1_high": quality.top1_high}
    again = {"top1": sum(hits) / len(hits), "top1_low": low, "top1_high": high}
    yield from compared("quality", stored, again)


def _carbon(profile: Profile, summary: Summary) -> Iterator[str]:
    gross, seconds = summary.joules_per_inference, summary.seconds_per_inference.mean
    for carbon in profile.carbon:
        where = f"carbon.{carbon.place}"
        if gross is None:
            yield f"{where} cannot follow: the energy is unknown"
            continue
        again = grams_again(carbon, gross.mean, seconds)
        yield from compared(where, carbon.model_dump(), again.model_dump())
        if carbon.kind != profile.method.kind:
            yield line(f"{where}.kind", carbon.kind, profile.method.kind)

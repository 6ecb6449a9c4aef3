"""What in a profile contradicts itself, though no figure of it is computed from another.

    carbon      PUE below 1; an intensity that no grid has; a place twice
    trials      joules that are no energy; an order that no run has; blocks that are no palindrome;
                trials shorter than they were to be, or before the one before them was over
    stages      missing since schema 1.1; a length of trial that the plan does not give; a budget that
                affords more, or fewer, blocks than this network's trials leave room for
    method      a meter that measures said to estimate, or the other way round; a sensor without error
    validity    "valid" beside what makes a run suspect

How many blocks the budget affords rests on when the pilot's very last trial ended, which is in the profile of
one network of the run only. From one profile it is known between two bounds; from all of them, exactly.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from greenadapt.boards import SLOWDOWNS
from greenadapt.carbon import grid_of
from greenadapt.errors import OptionError
from greenadapt.profile import BoardFacts, Carbon, Profile, Stages, Trial
from greenadapt.recompute.lines import RELATIVE, broken
from greenadapt.statistics import affordable_range, coefficient_of_variation, counted

FIRST_SCHEMA = "1.0"
KINDS = {"nvml": "measured", "rapl": "measured", "codecarbon": "estimated"}
"""What the joules of the meters that ship are; a replayed recording and other people's may be either."""
CLOCK_DRIFT, TEMPERATURE_CELSIUS, SCATTER, AGREEMENT = 0.01, 2.0, 0.05, 0.05
"""The bounds of `greenadapt.auditing.doubts` and `greenadapt.auditing.validity`, to which auditing stands
too high to be asked."""
_UNREMARKABLE = "power"
_SHORT_FRACTION, _SHORT_SECONDS = 0.01, 0.05
"""The last call is done a moment before the time is looked at, and that moment may be a busy machine's."""


def self_contradictions(profile: Profile) -> Iterator[str]:
    """A line for each field that another contradicts: its name, what it says, and what it must be.

    Args:
        profile: Any profile.
    """
    yield from _grids(profile.carbon)
    yield from _readings(profile.trials)
    if profile.schema_version == FIRST_SCHEMA:
        yield from _first_schema(profile)
    elif profile.stages is None:
        yield broken("stages", "nothing", f"there in schema {profile.schema_version}")
    else:
        yield from _palindromes(profile, profile.stages)
        yield from _lengths(profile, profile.stages)
        yield from _budget(profile, profile.stages)
    yield from _method(profile)
    yield from _verdict(profile)


def _grids(entries: list[Carbon]) -> Iterator[str]:
    for place, times in Counter(carbon.place for carbon in entries).items():
        if times > 1:
            yield broken(f"carbon.{place}", f"{times} entries", "one entry per place")
    for carbon in entries:
        where, intensity = f"carbon.{carbon.place}", carbon.grams_per_kwh
        if intensity < 0 or (intensity == 0 and not _runs_on_nothing(carbon.place)):
            yield broken(f"{where}.grams_per_kwh", intensity, "above 0")
        if carbon.pue is not None and carbon.pue < 1:
            yield broken(f"{where}.pue", carbon.pue, "at least 1")


def _runs_on_nothing(place: str) -> bool:
    """Whether the table of grids itself gives 0."""
    try:
        return grid_of(place).grams_per_kwh == 0
    except OptionError:
        return False


def _readings(trials: list[Trial]) -> Iterator[str]:
    last = -1
    for number, trial in enumerate(trials):
        if trial.joules is not None and trial.joules <= 0:
            yield broken(f"trials.{number}.joules", trial.joules, "above 0, or nothing where unknown")
        if trial.order <= last:
            yield broken(f"trials.{number}.order", trial.order, f"above {last}, that of the trial before")
        last = max(last, trial.order)


def _first_schema(profile: Profile) -> Iterator[str]:
    if profile.stages is not None:
        yield broken("schema_version", FIRST_SCHEMA, "a later one, since there are stages")
    for block, times in sorted(Counter(trial.block for trial in profile.trials).items()):
        if times > 1:
            yield broken(f"trials of block {block}", times, f"1 in schema {FIRST_SCHEMA}")


def _palindromes(profile: Profile, stages: Stages) -> Iterator[str]:
    name, networks = profile.subject.name, stages.networks
    times = Counter(trial.block for trial in profile.trials)
    wrong = [block for block in range(stages.blocks + 1) if times[block] != 2]
    wrong += [block for block in sorted(times) if not 0 <= block <= stages.blocks]
    for block in wrong:
        yield broken(f"trials of block {block}", times[block], 2 if 0 <= block <= stages.blocks else 0)
    if name not in networks or len(set(networks)) < len(networks):
        yield broken("stages.networks", ", ".join(networks), f"distinct names, {name} among them")
        return
    if stages.worst is not None and stages.worst not in (networks[1:] or networks):
        yield broken("stages.worst", stages.worst, f"one of {', '.join(networks[1:] or networks)}")
    if wrong:
        return
    seen: Counter[int] = Counter()
    for number, trial in enumerate(profile.trials):
        place = _place(networks.index(name), len(networks), trial.block, second=seen[trial.block] > 0)
        seen[trial.block] += 1
        if trial.order != place:
            palindrome = f"{place}, its place in the palindrome of block {trial.block}"
            yield broken(f"trials.{number}.order", trial.order, palindrome)


def _place(index: int, networks: int, block: int, *, second: bool) -> int:
    """Where in the run a network's trial stands: forth and back in even blocks, the other way in odd ones."""
    forth = index if block % 2 == 0 else networks - 1 - index
    return 2 * networks * block + (2 * networks - 1 - forth if second else forth)


def _lengths(profile: Profile, stages: Stages) -> Iterator[str]:
    asked, period = stages.trial_seconds, profile.method.period_seconds
    planned = profile.plan.trial_seconds
    if asked < planned * (1 - RELATIVE):
        yield broken("stages.trial_seconds", asked, f"at least the plan's {planned:g}")
    elif asked > planned * (1 + RELATIVE) and period is None:
        yield broken("stages.trial_seconds", asked, f"the plan's {planned:g}, no counter having a period")
    shortest = asked * (1 - _SHORT_FRACTION) - _SHORT_SECONDS
    ended = -math.inf
    for number, trial in enumerate(profile.trials):
        if trial.seconds < shortest:
            yield broken(
                f"trials.{number}.seconds", trial.seconds, f"at least the {asked:g} of stages.trial_seconds"
            )
        if trial.started_seconds < ended - _SHORT_FRACTION * trial.seconds - _SHORT_SECONDS:
            yield broken(
                f"trials.{number}.started_seconds",
                trial.started_seconds,
                f"at least {ended:g}, when the trial before it ended",
            )
        ended = trial.started_seconds + trial.seconds


def _budget(profile: Profile, stages: Stages) -> Iterator[str]:
    if stages.affordable_blocks is None or not any(trial.stage == 1 for trial in profile.trials):
        return
    least, most = affordable_range(profile.trials, profile.plan)
    if not least <= stages.affordable_blocks <= most:
        expected = f"from {least} to {most} by the moments of this network's trials"
        yield broken("stages.affordable_blocks", stages.affordable_blocks, expected)


def _method(profile: Profile) -> Iterator[str]:
    method = profile.method
    kind = KINDS.get(method.meter or "")
    if kind is not None and method.kind not in (kind, None):
        yield broken("method.kind", method.kind, f"{kind}, as the meter {method.meter} does")
    if method.meter == "nvml" and not (method.systematic_fraction or 0.0) > 0:
        stated = "nothing" if method.systematic_fraction is None else method.systematic_fraction
        yield broken("method.systematic_fraction", stated, "above 0: no board's sensor is without error")


def _verdict(profile: Profile) -> Iterator[str]:
    status = profile.validity.status
    if status != "valid":
        return
    for number, facts in enumerate(profile.validity.boards):
        for name, found in _doubtful(facts):
            yield broken("validity.status", status, f"suspect: validity.boards.{number}.{name} says {found}")
    yield from _doubtful_figures(profile)


def _doubtful_figures(profile: Profile) -> Iterator[str]:
    agreement = profile.validity.crosscheck
    difference = agreement.relative_difference if agreement is not None else None
    slack = (agreement.doubt_fraction or 0.0) if agreement is not None else 0.0
    if difference is not None and abs(difference) > max(AGREEMENT, slack):
        told = f"suspect: validity.crosscheck.relative_difference says {difference}"
        yield broken("validity.status", "valid", told)
    unread = sum(trial.joules is None for trial in profile.trials)
    if 0 < unread < len(profile.trials):
        told = f"suspect: {unread} of {len(profile.trials)} trials have no joules"
        yield broken("validity.status", "valid", told)
    if counted(profile.trials):
        scatter = coefficient_of_variation(profile.trials)
        if scatter > SCATTER * (1 + RELATIVE):
            told = f"suspect: the trials' time per inference scatters by {scatter:.1%}"
            yield broken("validity.status", "valid", told)


def _doubtful(facts: BoardFacts) -> Iterator[tuple[str, object]]:
    """The facts of a board that make a run suspect, by their names."""
    if facts.other_processes:
        yield "other_processes", facts.other_processes
    for policy, seconds in facts.throttled_seconds.items():
        if seconds > 0 and policy != _UNREMARKABLE:
            yield f"throttled_seconds.{policy}", seconds
    for reason, looks in facts.clock_reasons.items():
        if looks > 0 and reason in SLOWDOWNS.values():
            yield f"clock_reasons.{reason}", looks
    if facts.clock_drift_fraction is not None and abs(facts.clock_drift_fraction) > CLOCK_DRIFT:
        yield "clock_drift_fraction", facts.clock_drift_fraction
    motion = facts.temperature_motion_celsius
    if motion is not None and abs(motion) > TEMPERATURE_CELSIUS:
        yield "temperature_motion_celsius", motion
    if len(facts.power_limits_watts) > 1:
        yield "power_limits_watts", facts.power_limits_watts
    if facts.counter_resets:
        yield "counter_resets", facts.counter_resets

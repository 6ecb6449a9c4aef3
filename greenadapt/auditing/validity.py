"""Whether the numbers of an audit may be used: valid, suspect or invalid, and why.

valid      with remarks that a reader must know: a quick plan, random images or weights, what NVML hides
suspect    something disturbed the run: other processes, throttling, a clock that drifts, trials that scatter,
           a failing call, instruments that contradict each other
invalid    no measurement of what it claims: a replayed recording, a simulated board, another board's joules,
           those of all MIG slices without saying so, or a counter that started again and left too few trials

What is doubted of a board rests on `greenadapt.boards.BoardReport`; `greenadapt.auditing.doubts` words it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from greenadapt.auditing.doubts import board_doubts, board_remarks, facts_of
from greenadapt.boards import MIG_NOTE, BoardReport
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Agreement, Plan, Trial, Validity
from greenadapt.statistics import coefficient_of_variation, counted

_SCATTER = 0.05
_SHARE_OF_OTHERS = 0.1
_AGREEMENT = 0.05


def judge(
    *,
    plan: Plan,
    trials: Sequence[Trial],
    info: MeterInfo | None,
    failures: Sequence[str],
    others_cores: float | None,
    weights: Literal["pretrained", "trained", "random", "unknown"],
    data: Literal["real", "random"],
    reports: Sequence[BoardReport] = (),
    agreement: Agreement | None = None,
    metered: Sequence[str] = (),
    worked_on: Sequence[str] | None = None,
    simulated: bool = False,
) -> Validity:
    """Judges one profile.

    Args:
        plan: What was asked.
        trials: All trials of the network.
        info: The meter's; None without one.
        failures: Why the energy of some trials is unknown.
        others_cores: How many cores other programs kept busy during the trials, if the processor did
            the work; None if unknown, or if a board did it.
        weights: Where the weights come from.
        data: Whether the images are real.
        reports: What a `greenadapt.boards.Watch` saw of each board during the trials.
        agreement: CodeCarbon's joules beside the boards' own counters.
        metered: UUIDs of the boards whose joules were counted; by default that of `info`.
        worked_on: UUIDs of the boards that the calls ran on, none if the processor did the work; None where
            that is not known.
        simulated: Whether a metered board is one of the simulator's.
    """
    metered = metered or ([info.board] if info is not None and info.board is not None else [])
    wrong = [
        *_replayed(info),
        *(["The joules are those of a simulated board."] if simulated else []),
        *_other_boards(metered, worked_on),
        *_slices(info, reports),
        *_too_few(info, trials, reports),
    ]
    doubts = [
        *board_doubts(reports),
        *_idle_boards(metered, worked_on),
        *_crowd(others_cores),
        *_scatter(trials),
        *failures,
        *_disagreement(agreement),
    ]
    remarks = [*board_remarks(reports), *_remarks(plan, trials, weights, data)]
    status: Literal["valid", "suspect", "invalid"] = "invalid" if wrong else "suspect" if doubts else "valid"
    return Validity(
        status=status,
        reasons=[*wrong, *doubts, *remarks],
        boards=[facts_of(report) for report in reports],
        crosscheck=agreement,
    )


def _replayed(info: MeterInfo | None) -> list[str]:
    if info is None or info.name != "replay":
        return []
    return ["The readings are replayed from a recording."]


def _other_boards(metered: Sequence[str], worked_on: Sequence[str] | None) -> list[str]:
    missing = [uuid for uuid in worked_on or () if uuid not in metered]
    if not metered or not missing:
        return []
    return [f"The joules are those of {', '.join(metered)}, but the calls ran on {', '.join(missing)}."]


def _idle_boards(metered: Sequence[str], worked_on: Sequence[str] | None) -> list[str]:
    if worked_on is None:
        return []
    idle = [uuid for uuid in metered if uuid not in worked_on]
    if not idle:
        return []
    where = "on the processor" if not worked_on else f"on {', '.join(worked_on)} alone"
    return [f"The joules are also those of {', '.join(idle)}, but the calls ran {where}."]


def _slices(info: MeterInfo | None, reports: Sequence[BoardReport]) -> list[str]:
    labelled = info is not None and MIG_NOTE in info.note
    if info is None or labelled or info.kind != "measured":
        return []
    return [
        f"The board {report.uuid} is cut into MIG slices: its joules are those of all slices together, and "
        "the meter does not say so."
        for report in reports
        if report.mig and info.scope == "gpu"
    ]


def _too_few(info: MeterInfo | None, trials: Sequence[Trial], reports: Sequence[BoardReport]) -> list[str]:
    resets = sum(report.counter_resets or 0 for report in reports)
    known, all_counted = [trial for trial in counted(trials) if trial.joules is not None], counted(trials)
    if info is None or not resets or 2 * len(known) >= len(all_counted):
        return []
    return [
        f"The energy counter started again {_times(resets)} during the run, which left {len(known)} of "
        f"{len(all_counted)} trials with an energy."
    ]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


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


def _disagreement(agreement: Agreement | None) -> list[str]:
    difference = agreement.relative_difference if agreement is not None else None
    # What the two may differ by because they were not read at one moment says nothing against either.
    slack = (agreement.doubt_fraction or 0.0) if agreement is not None else 0.0
    if difference is None or abs(difference) <= max(_AGREEMENT, slack):
        return []
    return [f"CodeCarbon's joules of the boards differ by {difference:+.1%} from their own counters."]


def _remarks(plan: Plan, trials: Sequence[Trial], weights: str, data: str) -> list[str]:
    remarks = []
    if plan.quick:
        kept = counted(trials)
        length = fmean(trial.seconds for trial in kept)
        remarks.append(f"A quick plan: {len(kept)} trials of {length:.2g} s; the intervals are wide.")
    if weights == "random":
        remarks.append("The weights are random: accuracy means nothing, and power depends on the weights.")
    if data == "random":
        remarks.append(
            "The images are random: power, and what an adaptive network runs, depend on the images."
        )
    return remarks

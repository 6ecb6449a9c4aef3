"""What a board did during the trials, as sentences with figures: doubts, and remarks that are none.

doubt     another process; a throttling counter that moved, or a slowdown seen; a clock over 1 % off between
          the first and the last third; a temperature that still moves by over 2 degrees; another power
          limit; polled power over 10 % off the counter; a counter that started again; NVML failing
remark    the power limit held the clock down: that is how a board works at full load;
          a board cut into MIG slices, labelled so; what NVML does not tell of this board
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from greenadapt.boards import SLOWDOWNS, BoardReport, uuid_sha256
from greenadapt.profile import BoardFacts

CLOCK_DRIFT = 0.01
TEMPERATURE_CELSIUS = 2.0
"""Sensors tell whole degrees, so that a change of more than two cannot be rounding; a board that has warmed
up moves less than that in the third of a run that lies between the two means."""
POWER_DISAGREEMENT = 0.1
_REMARKABLE = "power"
_MANY = 5


def board_doubts(reports: Sequence[BoardReport]) -> list[str]:
    """What makes a run suspect, a sentence each.

    Args:
        reports: One per board; with several, each sentence names its board.
    """
    return _sentences(reports, _doubts)


def board_remarks(reports: Sequence[BoardReport]) -> list[str]:
    """What a reader should know without it being a doubt, a sentence each.

    Args:
        reports: One per board; with several, each sentence names its board.
    """
    return _sentences(reports, _remarks)


def facts_of(report: BoardReport) -> BoardFacts:
    """A report in the form that stands in profiles."""
    return BoardFacts(
        uuid_sha256=uuid_sha256(report.uuid),
        looks=report.looks,
        seconds=report.seconds,
        other_processes=report.other_processes,
        throttled_seconds=dict(report.violations),
        clock_reasons=dict(report.reasons),
        sm_clock_mhz=report.sm_clock_mhz,
        clock_drift_fraction=report.clock_drift,
        temperature_first_celsius=report.temperature_first,
        temperature_last_celsius=report.temperature_last,
        temperature_motion_celsius=report.temperature_motion,
        power_limits_watts=list(report.power_limits),
        polled_watts=report.powers.polled_watts if report.powers is not None else None,
        counter_watts=report.powers.counter_watts if report.powers is not None else None,
        counter_resets=report.counter_resets,
        ecc=report.ecc,
        persistence=report.persistence,
        mig=report.mig,
        compute_mode=report.compute_mode,
    )


def _sentences(reports: Sequence[BoardReport], words: Callable[[BoardReport], Iterator[str]]) -> list[str]:
    several = len(reports) > 1
    return [
        f"{report.uuid[:12]}: {sentence}" if several else sentence
        for report in reports
        for sentence in words(report)
    ]


def _doubts(report: BoardReport) -> Iterator[str]:
    if report.other_processes:
        many = "es" if report.other_processes > 1 else ""
        yield (
            f"{report.other_processes} other process{many} computed or drew on the board "
            f"(seen at {report.other_looks} of {report.looks} looks)."
        )
    for policy, seconds in report.violations.items():
        if seconds > 0 and policy != _REMARKABLE:
            yield f"The board was throttled for {seconds:.3f} s ({policy})."
    for reason, looks in report.reasons.items():
        if reason in SLOWDOWNS.values():
            yield f"The board was slowed down ({reason}) at {looks} of {report.looks} looks."
    yield from _trends(report)
    if len(report.power_limits) > 1:
        limits = [f"{limit:g} W" for limit in report.power_limits]
        changes = " -> ".join(limits[:_MANY] + ["..."] * (len(limits) > _MANY))
        yield f"The power limit changed {_times(len(limits) - 1)}: {changes}."
    if report.counter_resets:
        yield f"The energy counter fell {_times(report.counter_resets)}: the driver was probably reloaded."
    yield from report.problems


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _trends(report: BoardReport) -> Iterator[str]:
    drift, motion, powers = report.clock_drift, report.temperature_motion, report.powers
    if drift is not None and abs(drift) > CLOCK_DRIFT:
        yield f"The board's clock drifted by {drift:+.1%} from the first third of the run to the last."
    if motion is not None and abs(motion) > TEMPERATURE_CELSIUS:
        yield (
            f"The board's temperature still moved by {motion:+.1f} degrees in the second half of the run "
            f"({report.temperature_first:g} to {report.temperature_last:g} over all)."
        )
    if powers is None or powers.disagreement is None or abs(powers.disagreement) <= POWER_DISAGREEMENT:
        return
    yield (
        f"The board's power, polled, is {powers.polled_watts:.1f} W on average, but its energy counter gives "
        f"{powers.counter_watts:.1f} W over the same time."
    )


def _remarks(report: BoardReport) -> Iterator[str]:
    held, looks = report.violations.get(_REMARKABLE, 0.0), report.reasons.get("SwPowerCap", 0)
    if held or looks:
        yield (
            f"The power limit held the board's clock down (SwPowerCap at {looks} of {report.looks} looks, "
            f"{held:.1f} s)."
        )
    if report.mig:
        yield "The board is cut into MIG slices; the joules are those of all of them."
    if report.not_told:
        yield f"NVML does not tell of this board: {'; '.join(report.not_told)}."

"""`measure`: joules per call of anything repeatable; `window`: the energy of one stretch of any code.

    measure(step)      whole calls, repeated; the audit's own instrument; a mean over trials
    with window():     once, from the block's start to its end; energy with a bound

The deep end of measuring is in `greenadapt.auditing.instruments`, `greenadapt.auditing.windows` and
`greenadapt.meters`.
"""

from __future__ import annotations

import math
import numbers
from contextlib import closing
from dataclasses import dataclass, field

from greenadapt.auditing.instruments import Instrument, Step, Stretch, open_instrument
from greenadapt.auditing.neighbours import others_note, others_on
from greenadapt.auditing.windows import Window as Window
from greenadapt.auditing.windows import window as window
from greenadapt.errors import OptionError
from greenadapt.machine import resolve_device
from greenadapt.profile import Interval, Kind
from greenadapt.statistics import interval
from greenadapt.units import with_prefix


@dataclass(frozen=True)
class Measurement:
    """What `measure` found; print it.

    Attributes:
        joules_per_call: Mean over the trials; None where the energy is unknown.
        ci95: Its 95 % interval: the spread over the trials, without the sensor's own error.
        seconds_per_call: Mean over the trials, with its interval.
        kind: "measured" by a counter or "estimated"; None without joules.
        meter: Name of the instrument.
        why_not: Why there are no joules, or why they are only estimated.
        trials: What was read, without the discarded first trial.
        boards: Joules per call of each board by UUID, where boards were measured.
        period_seconds: How often the counter moves; None where it is not known.
        systematic_fraction: Stated uncertainty of the absolute joules, such as 0.05; it is the same for
            everything measured on one board, so it is not in `ci95`.
        idle_watts: Power before the trials while nothing was done; None where it was not asked for.
        net_joules_per_call: Joules per call beyond what the idle device would have taken in that time.
        notes: What else must be known about the meter.
    """

    joules_per_call: float | None
    ci95: tuple[float, float] | None
    seconds_per_call: Interval
    kind: Kind | None
    meter: str | None
    why_not: str | None
    trials: list[Stretch]
    boards: dict[str, float] = field(default_factory=dict)
    period_seconds: float | None = None
    systematic_fraction: float | None = None
    idle_watts: float | None = None
    net_joules_per_call: float | None = None
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        pace = f"{with_prefix(self.seconds_per_call.mean, 's', 4)} per call"
        if self.joules_per_call is None or self.ci95 is None:
            return f"{pace}; energy unknown: {self.why_not}"
        low, high = (with_prefix(end, "J", 4) for end in self.ci95)
        lines = [f"{with_prefix(self.joules_per_call, 'J', 4)} per call [{low}, {high}], {self.kind}; {pace}"]
        if self.net_joules_per_call is not None and self.idle_watts is not None:
            net = f"{self.net_joules_per_call:.4g} J per call"
            lines.append(f"net of {self.idle_watts:.4g} W idle: {net}")
        if len(self.boards) > 1:
            lines += [f"{board}: {with_prefix(joules, 'J', 4)}" for board, joules in self.boards.items()]
        if self.systematic_fraction:
            lines.append(f"the sensor itself may be off by {self.systematic_fraction:.0%}")
        return "\n".join([*lines, *self.notes])


def measure(
    step: Step,
    seconds: float = 5.0,
    trials: int = 5,
    meter: str = "auto",
    device: str = "auto",
    idle_seconds: float = 0.0,
) -> Measurement:
    """Measures what one call costs, by repeating it.

    Args:
        step: Anything that can be called again and again; on a board it may return before it is done, if it
            was given to torch. An engine of another make must wait for its result.
        seconds: Length of a trial.
        trials: How many count, at least two; one more runs first and is thrown away.
        meter: A meter's name, "nvml:0" for a board of one's choice, "auto" or "none".
        device: The torch device that the calls run on, or "auto".
        idle_seconds: How long to look at the idle device first, for the joules net of it; 0 not to.

    Raises:
        OptionError: No such device or meter, or out of range: not a number, not finite, too small.
        MeasurementError: The meter that was asked for cannot be used.
    """
    _check_range(seconds, trials, idle_seconds)
    if not callable(step):
        raise OptionError(
            "There is nothing to measure.",
            f"step={step!r} cannot be called.",
            "Pass a function without arguments.",
        )
    with closing(open_instrument(meter, resolve_device(device))) as instrument:
        uuids = [part.info.board for part in instrument.parts if part.info.board is not None]
        others = [others_on(uuids)]
        # The first call often starts the device, which then idles at another power.
        first = instrument.stretch(step, seconds) if idle_seconds else None
        idle = instrument.idle_watts(idle_seconds)
        discarded = 1 if first is None else 0
        stretches = [instrument.stretch(step, seconds) for _ in range(trials + discarded)][discarded:]
        if all(stretch.joules is not None for stretch in stretches):
            others.append(others_on(uuids))
        return _measurement(instrument, stretches, idle, others_note(others))


def _measurement(
    instrument: Instrument, stretches: list[Stretch], idle: float | None, others: list[str]
) -> Measurement:
    info = instrument.info
    known = [s for s in stretches if s.joules is not None and s.joules > 0]
    per_call = [s.joules / s.calls for s in known if s.joules is not None]
    energy = interval(per_call, log=True) if len(known) >= 2 else None
    pace = interval([stretch.seconds / stretch.calls for stretch in stretches], log=True)
    net = energy.mean - idle * pace.mean if energy is not None and idle is not None else None
    reasons = [stretch.why_not for stretch in stretches if stretch.why_not is not None]
    return Measurement(
        joules_per_call=energy.mean if energy is not None else None,
        ci95=(energy.low, energy.high) if energy is not None else None,
        seconds_per_call=pace,
        kind=info.kind if info is not None and energy is not None else None,
        meter=info.name if info is not None else None,
        why_not=reasons[0] if energy is None and reasons else instrument.why_not,
        trials=stretches,
        boards=_boards(known) if energy is not None else {},
        period_seconds=info.period_seconds if info is not None else None,
        systematic_fraction=info.systematic_fraction if info is not None else None,
        idle_watts=idle,
        net_joules_per_call=net,
        notes=[*_notes(instrument, len(stretches) - len(known)), *others],
    )


def _boards(stretches: list[Stretch]) -> dict[str, float]:
    calls = sum(stretch.calls for stretch in stretches)
    return {board: sum(s.boards[board] for s in stretches) / calls for board in stretches[0].boards}


def _notes(instrument: Instrument, lost: int) -> list[str]:
    info = instrument.info
    notes = [info.note] if info is not None and info.note else []
    if info is not None and lost:
        notes.append(f"the energy of {lost} trials is unknown")
    return notes


def _check_range(seconds: float, trials: int, idle_seconds: float) -> None:
    counted = isinstance(trials, numbers.Integral) and not isinstance(trials, bool) and trials >= 2
    if not (counted and _is_time(seconds) and _is_time(idle_seconds) and seconds > 0):
        raise OptionError(
            "These trials cannot be measured.",
            f"{trials!r} trials of {seconds!r} s, after {idle_seconds!r} s of idling.",
            "Use at least two trials of more than no time.",
        )


def _is_time(seconds: object) -> bool:
    real = isinstance(seconds, numbers.Real) and not isinstance(seconds, bool)
    return real and math.isfinite(seconds) and seconds >= 0  # type: ignore[arg-type, operator]

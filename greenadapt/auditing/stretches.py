"""`measure`: joules per call of anything repeatable; `window`: the energy of one stretch of any code.

    measure(step)      whole calls, repeated; the audit's own instrument; a mean over trials
    with window():     once, from the block's start to its end; energy with a bound

The deep end of measuring is in `greenadapt.auditing.instruments` and `greenadapt.meters.ticks`.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from types import TracebackType

from greenadapt.auditing.instruments import Instrument, Step, Stretch, open_instrument
from greenadapt.errors import OptionError
from greenadapt.machine import resolve_device
from greenadapt.meters.ticks import LEAST_TICKS, TickRecorder, joules_between
from greenadapt.profile import Interval, Kind
from greenadapt.statistics import interval


@dataclass(frozen=True)
class Measurement:
    """What `measure` found; print it.

    Attributes:
        joules_per_call: Mean over the trials; None where the energy is unknown.
        ci95: Its 95 % interval.
        seconds_per_call: Mean over the trials, with its interval.
        kind: "measured" by a counter or "estimated"; None without joules.
        meter: Name of the instrument.
        why_not: Why there are no joules, or why they are only estimated.
        trials: What was read, without the discarded first trial.
    """

    joules_per_call: float | None
    ci95: tuple[float, float] | None
    seconds_per_call: Interval
    kind: Kind | None
    meter: str | None
    why_not: str | None
    trials: list[Stretch]

    def __str__(self) -> str:
        pace = f"{self.seconds_per_call.mean:.6g} s per call"
        if self.joules_per_call is None or self.ci95 is None:
            return f"{pace}; energy unknown: {self.why_not}"
        low, high = self.ci95
        return f"{self.joules_per_call:.4g} J per call [{low:.4g}, {high:.4g}], {self.kind}; {pace}"


def measure(
    step: Step, seconds: float = 5.0, trials: int = 5, meter: str = "auto", device: str = "auto"
) -> Measurement:
    """Measures what one call costs, by repeating it.

    Args:
        step: Anything that can be called again and again; on a board it may return before it is done.
        seconds: Length of a trial.
        trials: How many count, at least two; one more runs first and is thrown away.
        meter: A meter's name, "auto" or "none".
        device: The torch device that the calls run on, or "auto".

    Raises:
        OptionError: No such device or meter, or out of range.
        MeasurementError: The meter that was asked for cannot be used.
    """
    _check_range(seconds, trials)
    if not callable(step):
        raise OptionError(
            "There is nothing to measure.",
            f"step={step!r} cannot be called.",
            "Pass a function without arguments.",
        )
    with closing(open_instrument(meter, resolve_device(device))) as instrument:
        stretches = [instrument.stretch(step, seconds) for _ in range(trials + 1)][1:]
        info = instrument.info
    known = [s.joules / s.calls for s in stretches if s.joules is not None and s.joules > 0]
    energy = interval(known, log=True) if len(known) >= 2 else None
    reasons = [stretch.why_not for stretch in stretches if stretch.why_not is not None]
    return Measurement(
        joules_per_call=energy.mean if energy is not None else None,
        ci95=(energy.low, energy.high) if energy is not None else None,
        seconds_per_call=interval([stretch.seconds / stretch.calls for stretch in stretches], log=True),
        kind=info.kind if info is not None and energy is not None else None,
        meter=info.name if info is not None else None,
        why_not=reasons[0] if energy is None and reasons else instrument.why_not,
        trials=stretches,
    )


def _check_range(seconds: float, trials: int) -> None:
    if seconds <= 0 or trials < 2:
        raise OptionError(
            "These trials cannot be measured.",
            f"{trials} trials of {seconds} s.",
            "Use at least two trials of more than no time.",
        )


class Window:
    """The energy of one stretch of code; filled in when the block is left.

    With a counter that moves slowly the block starts right after one of its movements, and leaving it
    takes until the next.

    Args:
        meter: A meter's name, "auto" or "none".
        device: The torch device whose energy counts, or "auto".

    Attributes:
        joules: Energy of the block; None where it is unknown.
        bound: How far the counter's truth may lie from it, in joules; None where that is unknown.
        seconds: How long the block took.
        kind: "measured" by a counter or "estimated"; None without joules.
        why_not: Why there are no joules, or why they are only estimated.
    """

    def __init__(self, meter: str, device: str) -> None:
        self.joules: float | None = None
        self.bound: float | None = None
        self.seconds: float | None = None
        self.kind: Kind | None = None
        self.why_not: str | None = None
        self._wanted = (meter, device)
        self._instrument = Instrument(None, "cpu")
        self._recorder: TickRecorder | None = None
        self._before: float | None = None
        self._start = 0.0

    def __enter__(self) -> Window:
        """Opens the meter and reads it.

        Raises:
            OptionError: No such device or meter.
            MeasurementError: The meter that was asked for cannot be used.
        """
        name, device = self._wanted
        self._instrument = open_instrument(name, resolve_device(device))
        self.why_not = self._instrument.why_not
        self._instrument.synchronize()
        self._recorder = self._instrument.recorder()
        if self._recorder is not None:
            self._recorder.__enter__()
            self._recorder.wait_for_tick(self._patience())
        else:
            self._before = self._read()
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Reads the meter and closes it; never raises."""
        try:
            self._instrument.synchronize()
        except RuntimeError as failure:
            self.why_not = f"The device failed: {failure}"
        end = time.perf_counter()
        self.seconds = end - self._start
        if self._recorder is not None:
            self._settle_by_ticks(self._recorder, end)
        else:
            self._settle_by_difference(self._before, self._read())
        try:
            self._instrument.close()
        except Exception as failure:  # a plugin's meter may raise anything, and the block is the user's
            self.why_not = f"The meter could not be closed: {failure}"

    def __str__(self) -> str:
        if self.seconds is None:
            return "a window that is still open"
        if self.joules is None:
            return f"energy unknown: {self.why_not}; {self.seconds:.4g} s"
        bound = f" +- {self.bound:.2g}" if self.bound is not None else ""
        return f"{self.joules:.4g}{bound} J, {self.kind}; {self.seconds:.4g} s"

    def _patience(self) -> float:
        return 3 * (self._instrument.slow_period_seconds or 0.0)

    def _settle_by_ticks(self, recorder: TickRecorder, end: float) -> None:
        recorder.wait_for_tick(self._patience())
        recorder.__exit__(None, None, None)
        inside = [tick for tick in recorder.ticks if self._start <= tick.seconds <= end]
        found = joules_between(recorder.ticks, self._start, end)
        if recorder.error is not None:
            self.why_not = f"{recorder.error.happened} {recorder.error.seen}"
        elif found is None or len(inside) < LEAST_TICKS:
            self.why_not = (
                f"The counter moved {len(inside)} times in the {end - self._start:.3f} s of the block; "
                f"{LEAST_TICKS} movements are needed. Repeat the code in the block, or use measure."
            )
        else:
            self.joules, self.bound = found
            self.kind = self._kind()

    def _settle_by_difference(self, before: float | None, after: float | None) -> None:
        info, seconds = self._instrument.info, self.seconds or 0.0
        if before is None or after is None or info is None:
            return
        period = info.period_seconds or 0.0
        if seconds < LEAST_TICKS * period:
            self.why_not = (
                f"The block took {seconds:.2g} s, less than {LEAST_TICKS} movements of the counter."
            )
            return
        self.joules, self.kind = after - before, info.kind
        # An estimate follows from time alone: there is no truth that it could be bounded against.
        self.bound = 2 * period * self.joules / seconds if info.kind == "measured" and period else None

    def _kind(self) -> Kind | None:
        return self._instrument.info.kind if self._instrument.info is not None else None

    def _read(self) -> float | None:
        if self._instrument.meter is None:
            return None
        try:
            return self._instrument.meter.read()
        except Exception as error:  # a plugin's meter may raise anything, and the block is the user's
            self.why_not = str(error).replace("\n", " ")
            return None


def window(meter: str = "auto", device: str = "auto") -> Window:
    """Measures one stretch of any code: ``with greenadapt.window() as w: ...`` and then `w.joules`.

    Args:
        meter: A meter's name, "auto" or "none".
        device: The torch device whose energy counts, or "auto".

    Returns:
        A context manager; see `Window`. Leaving it never raises.
    """
    return Window(meter, device)

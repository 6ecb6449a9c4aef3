"""A meter with a device: repeats a call for a while and tells what one call took.

    calls      |1|2|3|4|5|6| ... |n|       the same call again and again, past both ends of what counts
    ticks        x     x       x           moves slowly:  whole calls between ends    "slope at ticks"
    counted      |3|4|5| ... |m|                          that are near ticks
    counter    a          ...      b       moves often:   all calls, joules = b - a   "difference"

Of several boards each counter is followed by itself, since they do not move together; the same calls count
on all, and their joules are added. How: `greenadapt.meters.whole_calls`.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from greenadapt import plugins
from greenadapt.auditing.following import Enclosed, edges, following, mean_watts, recorders_of, slow_period
from greenadapt.auditing.repeats import Repeated, repeat, synchronize
from greenadapt.auditing.repeats import Step as Step
from greenadapt.errors import GreenadaptError, MeasurementError, OptionError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.meters.recorders import TickRecorder
from greenadapt.meters.ticks import LEAST_TICKS
from greenadapt.meters.whole_calls import Counted, count_calls

_PROBE_SECONDS = 2.5
_IDLE_TICKS = 20


@dataclass(frozen=True)
class Stretch:
    """Repeated calls that count, and what they took.

    Attributes:
        seconds: From the start of the first to the end of the last.
        calls: How many.
        joules: Their energy; None where it is unknown.
        why_not: Why it is unknown, where it is.
        started: When the first began, in seconds of `time.perf_counter`.
        standard_error: Of `joules`, from what the ticks do not tell; None where that is unknown. It is a
            lower limit where calls differ in power by a pattern (by their number, say): the spread over
            several stretches shows that, one stretch does not.
        boards: Joules of each board by UUID, where boards were measured.
    """

    seconds: float
    calls: int
    joules: float | None
    why_not: str | None = None
    started: float | None = None
    standard_error: float | None = None
    boards: dict[str, float] = field(default_factory=dict)


class Instrument:
    """A meter, or none, with the device that the calls run on.

    Args:
        meter: The open meter; None leaves the energy unknown.
        device: The torch device that the calls run on.
        why_not: Why nothing is measured, where nothing is.

    Attributes:
        meter: The same.
        why_not: The same.
        device: The same.
        parts: The meters of the single boards, or the meter itself.
    """

    def __init__(self, meter: Meter | None, device: str, why_not: str | None = None) -> None:
        self.meter = meter
        self.device = device
        self.why_not = why_not
        whole = [meter] if meter is not None else []
        self.parts: list[Meter] = list(getattr(meter, "parts", None) or whole)

    @property
    def info(self) -> MeterInfo | None:
        """What the meter's joules mean; None without a meter."""
        return self.meter.info if self.meter is not None else None

    @property
    def slow_period_seconds(self) -> float | None:
        """Longest period of the counters slow enough to be read by their ticks; None if none is."""
        return max((period for period in map(slow_period, self.parts) if period is not None), default=None)

    @property
    def estimator(self) -> str | None:
        """How joules are got from readings: "slope at ticks", "difference", or None without a meter."""
        if self.meter is None:
            return None
        return "slope at ticks" if self.slow_period_seconds is not None else "difference"

    def stretch(self, step: Step, seconds: float) -> Stretch:
        """Repeats a call and tells what whole calls of at least that much time together took.

        With a counter that moves slowly, some calls more run before and after those that count: about
        two periods of it at either end, four at most.

        Args:
            step: The call. On a CUDA device it may return before it is done.
            seconds: How long.

        Returns:
            What the calls took. A meter that fails leaves the joules unknown and says why.
        """
        if self.meter is None:
            return _unknown(repeat(step, self.device, seconds), self.why_not)
        recorders = recorders_of(self.parts)
        synchronize(self.device)
        try:
            before = edges(self.parts, recorders)
        except MeasurementError as error:
            return _unknown(repeat(step, self.device, seconds), sentence(error))
        with following(recorders) as followed:
            run = repeat(step, self.device, seconds, Enclosed(followed, seconds))
        try:
            for recorder in followed:
                recorder.check()
            after = edges(self.parts, recorders)
        except MeasurementError as error:
            return _unknown(run, sentence(error))
        return self._counted(run, recorders, [b - a for a, b in zip(before, after, strict=True)], seconds)

    def idle_watts(self, seconds: float) -> float | None:
        """Power while nothing is done for that long; None where it is unknown or only estimated.

        A counter that moves slowly is given the time to move twenty times, if that is longer, and the power
        is taken from its first to its last movement.
        """
        if self.meter is None or self.meter.info.kind == "estimated" or seconds <= 0:
            return None
        synchronize(self.device)
        recorders = recorders_of(self.parts)
        try:
            with following(recorders):
                before, start = edges(self.parts, recorders), time.perf_counter()
                time.sleep(max(seconds, (_IDLE_TICKS + 0.5) * (self.slow_period_seconds or 0.0)))
                after, took = edges(self.parts, recorders), time.perf_counter() - start
        except MeasurementError:
            return None
        found = [
            (b - a) / took if recorder is None else mean_watts(recorder)
            for a, b, recorder in zip(before, after, recorders, strict=True)
        ]
        known = [watts for watts in found if watts is not None and watts > 0]
        return sum(known) if len(known) == len(found) else None

    def find_period(self, step: Step) -> None:
        """Lets a meter that can do so find its counter's period while the device works on calls.

        Raises:
            MeasurementError: The counter does not move.
        """
        find = getattr(self.meter, "find_period", None)
        if find is None:
            return
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(find, _PROBE_SECONDS)
            while not found.done():
                repeat(step, self.device, _PROBE_SECONDS / 50)
            found.result()

    def synchronize(self) -> None:
        """Waits until the device has done all that it was given."""
        synchronize(self.device)

    def close(self) -> None:
        """Closes the meter."""
        if self.meter is not None:
            self.meter.close()

    def _counted(
        self, run: Repeated, recorders: list[TickRecorder | None], differences: list[float], seconds: float
    ) -> Stretch:
        slow = [recorder for recorder in recorders if recorder is not None]
        counted: Counted | None = Counted(0, run.calls, [], 0.0)
        if slow:
            recordings = [recorder.ticks for recorder in slow]
            periods = [recorder.period_seconds for recorder in slow]
            counted = count_calls(recordings, periods, run.boundaries, seconds)
        if counted is None:
            seen = f"{min(len(recorder.ticks) for recorder in slow)} movements of the counter"
            needed = f"at least {LEAST_TICKS} are needed"
            return _unknown(run, f"Too short: {seen} in {run.seconds:.2f} s; {needed}.")
        span = run.boundaries[counted.last] - run.boundaries[counted.first]
        of_ticks = iter(counted.joules)
        parts = [
            # A part that is read at the edges covers all calls, so the counted ones get their share.
            next(of_ticks) if recorder is not None else joules * span / run.seconds
            for recorder, joules in zip(recorders, differences, strict=True)
        ]
        still = [part.info for part, joules in zip(self.parts, parts, strict=True) if joules <= 0]
        if any(info.kind == "measured" for info in still):
            which = still[0].board or still[0].scope
            return _unknown(run, f"The counter of {which} did not move in the {span:.3f} s that count.")
        named = zip((part.info.board for part in self.parts), parts, strict=True)
        return Stretch(
            seconds=span,
            calls=counted.last - counted.first,
            joules=sum(parts),
            started=run.boundaries[counted.first],
            standard_error=counted.standard_error if len(slow) == len(parts) else None,
            boards={board: joules for board, joules in named if board is not None},
        )


def open_instrument(meter: str, device: str) -> Instrument:
    """Opens a meter by name.

    Args:
        meter: A meter's name; "auto" for the first that works, measuring ones first; "none". What follows
            a colon is whose energy counts, instead of the device's: "nvml:0", "nvml:all", "nvml:GPU-1a2b".
        device: A resolved torch device, on which the calls run.

    Returns:
        The instrument; with "auto" and nothing to measure with, its `why_not` says what was tried.

    Raises:
        OptionError: There is no meter of that name, or it is no name.
        MeasurementError: The meter that was asked for cannot be used.
    """
    if not isinstance(meter, str):
        raise OptionError(
            f"{meter!r} is not a meter's name.",
            f"It is of type {type(meter).__name__}.",
            f"Use one of: {', '.join(['auto', 'none', *plugins.meters()])}; or a board such as 'nvml:0'.",
        )
    if meter == "none":
        return Instrument(None, device, "No meter was wanted.")
    if meter == "auto":
        return _first_that_works(device)
    name, _, what = meter.partition(":")
    return Instrument(plugins.meter(name).open(what or device), device)


def sentence(error: GreenadaptError) -> str:
    """An error on one line, without the advice."""
    return f"{error.happened} {error.seen}".strip()


def _first_that_works(device: str) -> Instrument:
    tried = []
    for name, provider in plugins.meters().items():
        if name == "replay":
            continue
        try:
            opened = provider.load().open(device)
        except GreenadaptError as error:
            tried.append(f"{name}: {error.seen or error.happened}")
            continue
        measured = opened.info.kind == "measured"
        return Instrument(opened, device, None if measured else " ".join(tried) or None)
    return Instrument(None, device, " ".join(tried) or "No meter is installed.")


def _unknown(run: Repeated, why_not: str | None) -> Stretch:
    return Stretch(run.seconds, run.calls, None, why_not, run.boundaries[0])

"""A meter with a device: repeats a call for a while and tells what one call took.

    calls      |1|2|3|4| ... |n|           whole calls, the device synchronised at both ends
    counter    a          ...      b       moves often:   joules = b - a              "difference"
               .    |    |    |    |       moves slowly:  joules per call = slope of
                                           the ticks against calls done               "slope at ticks"

On a CUDA device the moment at which a call is done comes from CUDA events, since Python only launches
it; at most `_IN_FLIGHT` calls are launched ahead, which keeps the board busy and the clock honest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from greenadapt import plugins
from greenadapt.errors import GreenadaptError, MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.meters import ticks

Step = Callable[[], object]
_IN_FLIGHT = 8
_PROBE_SECONDS = 2.5


@dataclass(frozen=True)
class Stretch:
    """Repeated calls and what they took.

    Attributes:
        seconds: From the start of the first call to the end of the last.
        calls: How many.
        joules: Their energy; None where it is unknown.
        why_not: Why it is unknown, where it is.
    """

    seconds: float
    calls: int
    joules: float | None
    why_not: str | None = None


class Instrument:
    """A meter, or none, with the device that the calls run on.

    Args:
        meter: The open meter; None leaves the energy unknown.
        device: The torch device that the calls run on.
        why_not: Why nothing is measured, where nothing is.

    Attributes:
        why_not: The same.
        device: The same.
    """

    def __init__(self, meter: Meter | None, device: str, why_not: str | None = None) -> None:
        self.meter = meter
        self.device = device
        self.why_not = why_not

    @property
    def info(self) -> MeterInfo | None:
        """What the meter's joules mean; None without a meter."""
        return self.meter.info if self.meter is not None else None

    @property
    def slow_period_seconds(self) -> float | None:
        """Period of a counter slow enough to be read by its ticks, else None."""
        period = self.meter.info.period_seconds if self.meter is not None else None
        return period if period is not None and period >= ticks.SLOW_PERIOD_SECONDS else None

    @property
    def estimator(self) -> str | None:
        """How joules are got from readings: "slope at ticks", "difference", or None without a meter."""
        if self.meter is None:
            return None
        return "slope at ticks" if self.slow_period_seconds is not None else "difference"

    def stretch(self, step: Step, seconds: float) -> Stretch:
        """Repeats a call until that much time has passed; at least once.

        Args:
            step: The call. On a CUDA device it may return before it is done.
            seconds: How long.

        Returns:
            What the calls took. A meter that fails leaves the joules unknown and says why.
        """
        if self.meter is None:
            return _without_energy(self._repeat(step, seconds), self.why_not)
        recorder = self.recorder()
        if recorder is None:
            return self._difference(self.meter, step, seconds)
        return self._slope(recorder, step, seconds)

    def recorder(self) -> ticks.TickRecorder | None:
        """A recorder for a counter that is read by its ticks, not yet started; None for any other."""
        period = self.slow_period_seconds
        if self.meter is None or period is None:
            return None
        return ticks.TickRecorder(self.meter, ticks.poll_seconds(period))

    def idle_watts(self, seconds: float) -> float | None:
        """Power while nothing is done for that long; None where it is unknown or only estimated."""
        if self.meter is None or self.meter.info.kind == "estimated" or seconds <= 0:
            return None
        self.synchronize()
        recorder = self.recorder()
        if recorder is not None:
            with recorder:
                time.sleep(seconds)
            return ticks.watts(recorder.ticks) if recorder.error is None else None
        try:
            before, start = self.meter.read(), time.perf_counter()
            time.sleep(seconds)
            return (self.meter.read() - before) / (time.perf_counter() - start)
        except MeasurementError:
            return None

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
                self._repeat(step, _PROBE_SECONDS / 10)
            found.result()

    def synchronize(self) -> None:
        """Waits until the device has done all that it was given."""
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self.device)

    def close(self) -> None:
        """Closes the meter."""
        if self.meter is not None:
            self.meter.close()

    def _repeat(self, step: Step, seconds: float) -> tuple[float, list[float]]:
        calls = _calls_on(self.device)
        start = calls.begin()
        end = start + seconds
        while True:
            step()
            calls.mark()
            if time.perf_counter() >= end:
                return start, calls.finish()

    def _difference(self, meter: Meter, step: Step, seconds: float) -> Stretch:
        try:
            self.synchronize()
            before = meter.read()
        except MeasurementError as error:
            return _without_energy(self._repeat(step, seconds), _sentence(error))
        run = self._repeat(step, seconds)
        try:
            return _with_energy(run, meter.read() - before)
        except MeasurementError as error:
            return _without_energy(run, _sentence(error))

    def _slope(self, recorder: ticks.TickRecorder, step: Step, seconds: float) -> Stretch:
        with recorder:
            run = self._repeat(step, seconds)
        if recorder.error is not None:
            return _without_energy(run, _sentence(recorder.error))
        per_call = ticks.joules_per_call(recorder.ticks, run[1])
        if per_call is None:
            seen = f"{len(recorder.ticks)} movements of the counter in {run[1][-1] - run[0]:.2f} s"
            return _without_energy(run, f"Too short: {seen}; at least {ticks.LEAST_TICKS} are needed.")
        return _with_energy(run, per_call * len(run[1]))


def open_instrument(meter: str, device: str) -> Instrument:
    """Opens a meter by name.

    Args:
        meter: A meter's name; "auto" for the first that works, measuring ones first; "none".
        device: A resolved torch device.

    Returns:
        The instrument; with "auto" and nothing to measure with, its `why_not` says what was tried.

    Raises:
        OptionError: There is no meter of that name.
        MeasurementError: The meter that was asked for cannot be used.
    """
    if meter == "none":
        return Instrument(None, device, "No meter was wanted.")
    if meter == "auto":
        return _first_that_works(device)
    return Instrument(plugins.meter(meter).open(device), device)


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


class _Calls(Protocol):
    def begin(self) -> float: ...

    def mark(self) -> None: ...

    def finish(self) -> list[float]: ...


class _HostCalls:
    def __init__(self) -> None:
        self._done: list[float] = []

    def begin(self) -> float:
        return time.perf_counter()

    def mark(self) -> None:
        self._done.append(time.perf_counter())

    def finish(self) -> list[float]:
        return self._done


class _CudaCalls:
    def __init__(self, device: str) -> None:
        import torch

        self._cuda = torch.cuda
        self._device = torch.device(device)
        self._events: list[Any] = []

    def begin(self) -> float:
        self._cuda.synchronize(self._device)
        self._first = self._event()
        self._first.synchronize()
        self._start = time.perf_counter()
        return self._start

    def mark(self) -> None:
        self._events.append(self._event())
        if len(self._events) > _IN_FLIGHT:
            self._events[-_IN_FLIGHT - 1].synchronize()

    def finish(self) -> list[float]:
        self._cuda.synchronize(self._device)
        return [self._start + self._first.elapsed_time(event) / 1000.0 for event in self._events]

    def _event(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._device))
        return event


def _calls_on(device: str) -> _Calls:
    return _CudaCalls(device) if device.startswith("cuda") else _HostCalls()


def _with_energy(run: tuple[float, list[float]], joules: float) -> Stretch:
    return Stretch(run[1][-1] - run[0], len(run[1]), joules)


def _without_energy(run: tuple[float, list[float]], why_not: str | None) -> Stretch:
    return Stretch(run[1][-1] - run[0], len(run[1]), None, why_not)


def _sentence(error: GreenadaptError) -> str:
    return f"{error.happened} {error.seen}".strip()

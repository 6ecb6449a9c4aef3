"""Following the counters of an instrument while calls run: who is followed, and until when."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from greenadapt.interfaces import Meter
from greenadapt.meters.periods import sharpen
from greenadapt.meters.recorders import TickRecorder
from greenadapt.meters.ticks import LEAST_TICKS, SLOW_PERIOD_SECONDS, TICKS_PER_SECOND, Tick

_LEAST_TICKS_PER_SECOND = 4.0


def slow_period(meter: Meter) -> float | None:
    """Period of a counter slow enough to be read by its ticks, else None."""
    period = meter.info.period_seconds
    return period if period is not None and period >= SLOW_PERIOD_SECONDS else None


def recorders_of(parts: Sequence[Meter]) -> list[TickRecorder | None]:
    """A recorder, not yet started, for each meter that is read by its ticks; None for the others."""
    pace = max(_LEAST_TICKS_PER_SECOND, TICKS_PER_SECOND / max(1, len(parts)))
    periods = [(part, slow_period(part)) for part in parts]
    return [
        TickRecorder(part, period, ticks_per_second=pace) if period is not None else None
        for part, period in periods
    ]


@contextmanager
def following(recorders: Sequence[TickRecorder | None]) -> Iterator[list[TickRecorder]]:
    """Runs the recorders while the block runs; gives those that there are."""
    there = [recorder for recorder in recorders if recorder is not None]
    with ExitStack() as stack:
        for recorder in there:
            stack.enter_context(recorder)
        yield there


def edges(parts: Sequence[Meter], recorders: Sequence[TickRecorder | None]) -> list[float]:
    """Where the counters stand that are read at the edges; 0 for those that have a recorder.

    Raises:
        MeasurementError: One of them cannot be read.
    """
    return [part.read() if recorder is None else 0.0 for part, recorder in zip(parts, recorders, strict=True)]


def mean_watts(recorder: TickRecorder) -> float | None:
    """Mean power between the first and the last tick; None for fewer than three, or after an error."""
    ticks: list[Tick] = sharpen(recorder.ticks, recorder.period_seconds)
    if recorder.error is not None or len(ticks) < LEAST_TICKS:
        return None
    return (ticks[-1].joules - ticks[0].joules) / (ticks[-1].seconds - ticks[0].seconds)


class Enclosed:
    """Whether the ticks so far enclose enough calls, or there has been time enough for that.

    Args:
        recorders: What follows the counters.
        seconds: How long the calls between the ticks are to be.
    """

    def __init__(self, recorders: Sequence[TickRecorder], seconds: float) -> None:
        self._recorders = recorders
        self._seconds = seconds

    def __call__(self, start: float, calls: int) -> bool:
        """Whether the calls may end.

        Args:
            start: When the first of them began.
            calls: How many there were.
        """
        spent = time.perf_counter() - start
        call = spent / calls
        slowest = max((recorder.period_seconds for recorder in self._recorders), default=0.0)
        if spent >= self._seconds + 4 * slowest + min(2 * call, self._seconds / 5):
            return True
        return all(self._is_enclosed(recorder, start, call) for recorder in self._recorders)

    def _is_enclosed(self, recorder: TickRecorder, start: float, call: float) -> bool:
        if recorder.error is not None:
            return True
        inside = (tick.seconds for tick in recorder.ticks if tick.earliest >= start)
        first, last = next(inside, None), recorder.ticks[-1].seconds if recorder.ticks else start
        return first is not None and last - first >= self._seconds + 2 * call

"""One counter of a window, from before the block until the padding after it is measured."""

from __future__ import annotations

from dataclasses import dataclass

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter
from greenadapt.meters.edges import padding_watts, standing
from greenadapt.meters.periods import sharpen
from greenadapt.meters.recorders import TickRecorder
from greenadapt.meters.ticks import LEAST_TICKS, Tick

_PATIENCE_PERIODS = 4.0
_LEAST_PATIENCE_SECONDS = 0.25
_NEAR = 8


@dataclass(frozen=True)
class Reading:
    """What one counter says about the block.

    Attributes:
        joules: Its energy; None where it is unknown.
        bound: How far the truth may lie from it; None where that is unknown.
        why_not: Why it is unknown, where it is.
    """

    joules: float | None = None
    bound: float | None = None
    why_not: str | None = None


class PartWindow:
    """One meter of a window.

    Args:
        meter: The instrument.
        recorder: Follows it, where it moves slowly; None to read it at the edges.
    """

    def __init__(self, meter: Meter, recorder: TickRecorder | None) -> None:
        self._meter = meter
        self._recorder = recorder
        self._running = False
        self._before: float | None = None
        self._at_end: float | None = None
        self._failure: str | None = None

    @property
    def board(self) -> str | None:
        """UUID of the board that is counted."""
        return self._meter.info.board

    def begin(self) -> None:
        """Starts to follow the counter."""
        if self._recorder is not None:
            self._recorder.__enter__()
            self._running = True

    def wait(self) -> None:
        """Waits until the counter has moved, or reads it where it is not followed."""
        if self._recorder is None:
            self._before = self._read()
            return
        seen = len(self._recorder.ticks)
        self._recorder.wait_for(lambda ticks: len(ticks) > seen, self._patience)

    def look(self) -> None:
        """Reads the counter now, at the end of the block."""
        self._at_end = self._read()

    def settle(self, start: float, end: float) -> Reading:
        """The energy between two moments, of which `end` is right after `look`.

        Waits for up to two more movements of the counter.
        """
        if self._failure is not None:
            return Reading(why_not=self._failure)
        if self._recorder is None:
            return self._difference(end - start)
        self._read()
        self._recorder.hurry()
        # The second one gives the power after the end; the block may be told without it.
        self._recorder.wait_for(lambda ticks: _after(ticks, end) >= 2, self._patience)
        self.end()
        if self._recorder.error is not None:
            return Reading(why_not=_sentence(self._recorder.error))
        return self._between(self._recorder, start, end)

    def end(self) -> None:
        """Stops following the counter."""
        if self._recorder is not None and self._running:
            self._running = False
            self._recorder.__exit__(None, None, None)

    @property
    def _patience(self) -> float:
        period = self._meter.info.period_seconds or 0.0
        return _PATIENCE_PERIODS * period + _LEAST_PATIENCE_SECONDS

    def _between(self, recorder: TickRecorder, start: float, end: float) -> Reading:
        ticks = recorder.ticks
        moved = _moved(sharpen(ticks, recorder.period_seconds), start, end, recorder.period_seconds)
        if moved < LEAST_TICKS:
            return Reading(why_not=_too_short(moved, end - start))
        first = max(0, sum(tick.earliest < start for tick in ticks) - _NEAR)
        last = max(0, sum(tick.earliest < end for tick in ticks) - _NEAR)
        limit = getattr(self._meter, "limit_watts", None)
        began = standing(ticks[first:], start, limit_watts=limit)
        ended = standing(ticks[last:], end, padding_watts(ticks[last:], end), self._at_end, limit)
        if began is None or ended is None:
            missing = "before the block" if began is None else "after the block"
            return Reading(why_not=f"The counter did not move {missing} within {self._patience:.2g} s.")
        return self._more_than_nothing(Reading(ended[0] - began[0], ended[1] + began[1]), end - start)

    def _difference(self, seconds: float) -> Reading:
        if self._before is None or self._at_end is None:
            return Reading(why_not="The meter gave no reading.")
        info, joules = self._meter.info, self._at_end - self._before
        period = info.period_seconds or 0.0
        if seconds < LEAST_TICKS * period:
            return Reading(why_not=_too_short(int(seconds / period), seconds))
        if joules < 0:
            return Reading(why_not=f"The counter went backwards, from {self._before} J to {self._at_end} J.")
        # An estimate follows from time alone: there is no truth that it could be bounded against.
        bounded = info.kind == "measured" and period > 0
        bound = 2 * period * joules / seconds if bounded else None
        return self._more_than_nothing(Reading(joules, bound), seconds)

    def _more_than_nothing(self, reading: Reading, seconds: float) -> Reading:
        if self._meter.info.kind != "measured" or (reading.joules or 0.0) > 0:
            return reading
        return Reading(why_not=f"The counter did not move in the {seconds:.3f} s of the block.")

    def _read(self) -> float | None:
        try:
            return self._recorder.look() if self._recorder is not None else self._meter.read()
        except MeasurementError as error:
            self._failure = self._failure or _sentence(error)
        except Exception as error:  # a plugin's meter may raise anything
            self._failure = self._failure or f"The meter failed: {type(error).__name__}: {error}."
        return None


def _after(ticks: list[Tick], moment: float) -> int:
    return sum(tick.earliest >= moment for tick in ticks[-_NEAR:])


def _moved(ticks: list[Tick], start: float, end: float, period: float) -> int:
    """How often the counter moved in the block: some of its ticks may not have been followed."""
    before = [tick for tick in ticks if tick.seconds <= start][-1:]
    after = [tick for tick in ticks if tick.seconds > end][:1]
    if not before or not after:
        return sum(start < tick.seconds <= end for tick in ticks)
    return round((after[0].seconds - before[0].seconds) / period) - 1


def _too_short(moved: int, seconds: float) -> str:
    return (
        f"The counter moved {moved} times in the {seconds:.3f} s of the block; {LEAST_TICKS} movements are "
        "needed. Repeat the code in the block, or use measure."
    )


def _sentence(error: MeasurementError) -> str:
    return f"{error.happened} {error.seen}".strip()

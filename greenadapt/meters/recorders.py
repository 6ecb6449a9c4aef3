"""Driving a `greenadapt.meters.ticks.Follower`: in the caller's thread, or in one of its own.

watch           looks until the time is up; with a virtual clock this takes no time at all
TickRecorder    looks while the `with` block runs; what spoils a recording is kept in `error`
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter
from greenadapt.meters.clocks import REAL, Clock
from greenadapt.meters.ticks import TICKS_PER_SECOND, Follower, Tick

_MOST_TICKS = 4096
_PATIENCE_SECONDS = 5.0


def watch(
    meter: Meter,
    period_seconds: float | None,
    seconds: float,
    clock: Clock = REAL,
    enough: Callable[[list[Tick]], bool] | None = None,
) -> list[Tick]:
    """Follows a counter in the caller's own thread.

    Args:
        meter: The instrument.
        period_seconds: How often it moves; None to note all that moves.
        seconds: How long.
        clock: The clock.
        enough: Asked at every tick whether to stop early.

    Raises:
        MeasurementError: The counter cannot be read, or it went backwards.
    """
    follower, found = Follower(period_seconds), list[Tick]()
    end, last = clock.now() + seconds, float("-inf")
    while (before := clock.now()) < end:
        joules = meter.read()
        check_rises(last, joules)
        tick, last = follower.seen(before, joules, clock.now()), joules
        if tick is not None:
            found.append(tick)
            if enough is not None and enough(found):
                break
        clock.sleep(min(follower.due, end) - clock.now())
    return found


def check_rises(before: float, after: float) -> None:
    """Makes sure that a counter did not fall.

    Raises:
        MeasurementError: It did, or what it says is no number.
    """
    if not after >= before:
        raise MeasurementError(
            "The energy counter went backwards.",
            f"From {before} J to {after} J; it was set back, or its driver was reloaded.",
            "Measure again.",
        )


class TickRecorder:
    """Follows a meter in a thread of its own while the block runs.

    Of long recordings the ticks in the middle are thinned out, so that they take no more than a few
    hundred kilobytes however long the block runs.

    Args:
        meter: The instrument; only this recorder may read it meanwhile.
        period_seconds: How often it moves.
        clock: Tells the time; the pauses are real ones.
        ticks_per_second: As for `Follower`.

    Attributes:
        ticks: What was caught so far, oldest first.
        error: What ended the recording early, if anything did.
    """

    def __init__(
        self,
        meter: Meter,
        period_seconds: float,
        clock: Clock = REAL,
        ticks_per_second: float = TICKS_PER_SECOND,
    ) -> None:
        self.ticks: list[Tick] = []
        self.error: MeasurementError | None = None
        self._meter = meter
        self._clock = clock
        self._follower = Follower(period_seconds, ticks_per_second)
        self._last = float("-inf")
        self._looking = threading.Lock()
        self._news = threading.Condition()
        self._nudge = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._follow, name="greenadapt-ticks", daemon=True)

    def __enter__(self) -> TickRecorder:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._nudge.set()
        # A driver that hangs must not hang the user's program with it.
        self._thread.join(_PATIENCE_SECONDS)

    @property
    def period_seconds(self) -> float:
        """How often the counter moves, as it is believed now."""
        return self._follower.period_seconds or 0.0

    def check(self) -> None:
        """Makes sure that nothing has spoilt the recording.

        Raises:
            MeasurementError: It was `error`.
        """
        if self.error is not None:
            raise self.error

    def look(self) -> float:
        """Looks now, from whichever thread; what was caught by it is in `ticks`.

        Raises:
            MeasurementError: The counter cannot be read, it went backwards, or the recording has ended
                because of that.
        """
        if not self._looking.acquire(timeout=_PATIENCE_SECONDS):
            slow = f"A reading takes over {_PATIENCE_SECONDS:.0f} s."
            self._fail(MeasurementError("The meter does not answer.", slow, "Restart the driver."))
        else:
            try:
                if self.error is None:
                    return self._look()
            finally:
                self._looking.release()
        assert self.error is not None
        raise self.error

    def hurry(self) -> None:
        """Follows every tick from now on."""
        if self._looking.acquire(timeout=_PATIENCE_SECONDS):
            self._follower.hurry(self._clock.now())
            self._looking.release()
        self._nudge.set()

    def wait_for(self, ready: Callable[[list[Tick]], bool], patience_seconds: float) -> bool:
        """Waits until the ticks so far are what is wanted; False if they are not within that time."""
        with self._news:
            return self._news.wait_for(
                lambda: ready(self.ticks) or self.error is not None, patience_seconds
            ) and ready(self.ticks)

    def _look(self) -> float:
        before = self._clock.now()
        try:
            joules = self._meter.read()
            check_rises(self._last, joules)
        except MeasurementError as error:
            self._fail(error)
            raise
        except Exception as error:  # a plugin's meter may raise anything
            failure = MeasurementError("The meter failed.", f"{type(error).__name__}: {error}.", "")
            self._fail(failure)
            raise failure from error
        self._last = joules
        tick = self._follower.seen(before, joules, self._clock.now())
        if tick is not None:
            with self._news:
                self._add(tick)
                self._news.notify_all()
        return joules

    def _add(self, tick: Tick) -> None:
        if len(self.ticks) >= _MOST_TICKS:
            del self.ticks[_MOST_TICKS // 8 : -_MOST_TICKS // 8 : 2]
        self.ticks.append(tick)

    def _fail(self, error: MeasurementError) -> None:
        with self._news:
            self.error = error
            self._news.notify_all()

    def _follow(self) -> None:
        while not self._ended:
            try:
                self.look()
            except MeasurementError:
                return  # it is in `error`
            pause = self._follower.due - self._clock.now()
            if pause > 0 and self._nudge.wait(pause) and not self._ended:
                self._nudge.clear()

"""A recorded series of readings, played back: for tests, and for looking at an audit again.

What comes of it is never a measurement of the machine it is played on: the meter's name is "replay", and
a profile made with it is invalid.
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.meters.periods import period_of
from greenadapt.meters.ticks import Tick
from greenadapt.profile import Kind

RECORDING_VARIABLE = "GREENADAPT_REPLAY"


class ReplayMeter:
    """Plays back a counter; see `greenadapt.interfaces.Meter`.

    Args:
        series: Pairs (seconds, joules), both rising: where the counter stood from that moment on.
        clock: Seconds from some fixed moment; the recording starts when the meter is opened.
        kind: What the recording was.
        scope: What the recording covered.

    Raises:
        MeasurementError: The recording is empty, or it goes backwards.
    """

    def __init__(
        self,
        series: Sequence[tuple[float, float]],
        clock: Callable[[], float] = time.perf_counter,
        kind: Kind = "measured",
        scope: str = "gpu",
    ) -> None:
        self._ticks = [Tick(float(seconds), float(joules)) for seconds, joules in series]
        self._seconds = [tick.seconds for tick in self._ticks]
        joules = [tick.joules for tick in self._ticks]
        if not series or self._seconds != sorted(self._seconds) or joules != sorted(joules):
            raise MeasurementError(
                "The recording cannot be played.",
                f"It has {len(series)} readings; seconds and joules must rise.",
                "Record it again.",
            )
        moves = [then for before, then in itertools.pairwise(self._ticks) if then.joules > before.joules]
        self.info = MeterInfo("replay", kind, scope, period_of(moves), note="replayed from a recording")
        self._clock = clock
        self._start: float | None = clock()

    def read(self) -> float:
        """Joules at this moment of the recording.

        Raises:
            MeasurementError: The recording is over, or the meter is closed.
        """
        if self._start is None:
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        now = self._seconds[0] + self._clock() - self._start
        if now > self._seconds[-1]:
            raise MeasurementError(
                "The recording is over.",
                f"It lasts {self._seconds[-1] - self._seconds[0]:.3f} s.",
                "Play a longer one.",
            )
        return self._ticks[max(0, bisect.bisect_right(self._seconds, now) - 1)].joules

    def close(self) -> None:
        """Stops the recording."""
        self._start = None


class ReplayFactory:
    """Opens the recording that the environment names; see `greenadapt.interfaces.MeterFactory`."""

    def why_not(self, device: str) -> str | None:
        """None if there is a recording, else how to name one."""
        path = os.environ.get(RECORDING_VARIABLE)
        if not path:
            return f"Set {RECORDING_VARIABLE} to a JSON file with a list of [seconds, joules]."
        return None if Path(path).is_file() else f"{RECORDING_VARIABLE} names {path}, which is no file."

    def open(self, device: str) -> Meter:
        """Plays the recording from its start.

        Raises:
            MeasurementError: There is none, or it is no list of [seconds, joules].
        """
        reason = self.why_not(device)
        if reason is not None:
            raise MeasurementError("There is nothing to replay.", reason, "")
        path = Path(os.environ[RECORDING_VARIABLE])
        try:
            series = [(float(seconds), float(joules)) for seconds, joules in json.loads(path.read_text())]
        except (OSError, ValueError, TypeError) as error:
            raise MeasurementError(
                "The recording cannot be played.",
                f"{path}: {error}.",
                "It must be a JSON list of [seconds, joules].",
            ) from error
        return ReplayMeter(series)


factory = ReplayFactory()

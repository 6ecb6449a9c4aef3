"""Energy of a board that has no counter (older than Volta): its power, read again and again, summed up.

    watts   |    x     .   x                 x  a reading, at a random moment
            | x      x                       trapezoids between readings
            +-|--|---|-----|--- time

The readings come at random distances, since a board averages its power over a short window now and then
(10 of 20 ms on Pascal): readings in step with the load would always see the same part of it. What falls
between the readings is not seen, so the figure is worth less than a counter's, and says so.
"""

from __future__ import annotations

import random
import threading
from typing import Any

from greenadapt.boards import mig_note, open_uuid, start_nvml
from greenadapt.boards.library import failures
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.clocks import REAL, Clock
from greenadapt.units import watts_from_milliwatts

INTEGRATED_FRACTION = 0.10
NOTE = "integrated power"
_MEAN_PAUSE_SECONDS = 0.02
_PATIENCE_SECONDS = 5.0


class IntegratedMeter:
    """A counter made of power readings; see `greenadapt.interfaces.Meter`. Any thread may read it.

    Its uncertainty of 10 % is the sensor's 5 % and as much for what the readings may miss in a few
    seconds; it does not jump, so that it has no period and a window has no bound.

    Args:
        uuid: The board's, with its prefix.
        clock: Tells the time; the pauses between readings are real ones.

    Raises:
        MeasurementError: There is no driver, no such board, or its power cannot be read.
    """

    def __init__(self, uuid: str, clock: Clock = REAL) -> None:
        self._library: Any = start_nvml()
        self._clock = clock
        self._error: MeasurementError | None = None
        self._reading = threading.Lock()
        self._closed = threading.Event()
        self._joules = 0.0
        self._last: tuple[float, float] | None = None
        try:
            self._board = open_uuid(self._library, uuid)
            sliced = mig_note(uuid)
            self.info = MeterInfo(
                "nvml",
                "measured",
                "gpu",
                systematic_fraction=INTEGRATED_FRACTION,
                note=f"{NOTE}; {sliced}" if sliced else NOTE,
                board=uuid,
            )
            self._sample()
        except BaseException:
            self._library.nvmlShutdown()
            raise
        self._thread = threading.Thread(target=self._watch, name="greenadapt-power", daemon=True)
        self._thread.start()

    def read(self) -> float:
        """Joules since the meter was opened.

        Raises:
            MeasurementError: The power could not be read now or at any time since, or the meter is closed.
        """
        if self._closed.is_set():
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        self._sample()
        return self._joules

    def close(self) -> None:
        """Ends the readings and lets go of NVML."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join(_PATIENCE_SECONDS)
            self._library.nvmlShutdown()

    def _sample(self) -> None:
        with self._reading:
            if self._error is not None:
                raise self._error
            before = self._clock.now()
            try:
                watts = watts_from_milliwatts(self._library.nvmlDeviceGetPowerUsage(self._board))
            except failures(self._library) as error:
                self._error = MeasurementError(
                    "The board's power cannot be read.",
                    f"NVML says: {error}.",
                    "Run nvidia-smi: if it fails too, the driver needs a restart.",
                )
                raise self._error from error
            now = (before + self._clock.now()) / 2
            if self._last is not None:
                then, watts_then = self._last
                self._joules += max(0.0, now - then) * (watts + watts_then) / 2
            self._last = now, watts

    def _watch(self) -> None:
        draw = random.Random()
        while not self._closed.wait(draw.uniform(0.5, 1.5) * _MEAN_PAUSE_SECONDS):
            try:
                self._sample()
            except MeasurementError:
                return  # kept for the next `read`

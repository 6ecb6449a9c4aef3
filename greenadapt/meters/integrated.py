"""Energy of a board that has no counter (older than Volta): its power, read again and again, summed up.

    watts   |    x     .   x                 x  a reading, at a random moment
            | x      x                       trapezoids between readings
            +-|--|---|-----|--- time

The readings come at random distances, since a board averages its power over a short window now and then
(10 of 20 ms on Pascal): readings in step with the load would always see the same part of it. What falls
between the readings is not seen, so the figure is worth less than a counter's, and says so.
"""

from __future__ import annotations

import os
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
_LONGEST_GAP_SECONDS = 0.5
"""Readings further apart than this say nothing of the power between them."""


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
        self._gap: MeasurementError | None = None
        self._process = os.getpid()
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
            MeasurementError: The power could not be read now or at any time since, the meter is closed, it
                was opened by another process (that forked), or nobody read the power for half a second since
                the last call; the call after that goes on from there.
        """
        if self._closed.is_set():
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        if os.getpid() != self._process:
            raise MeasurementError(
                "The board's power is not read in this process.",
                "The meter was opened before the process forked; what sums the power up stayed behind.",
                "Open the meter in the process that is measured.",
            )
        self._sample()
        gap, self._gap = self._gap, None
        if gap is not None:
            raise gap
        return self._joules

    def close(self) -> None:
        """Ends the readings and lets go of NVML."""
        if not self._closed.is_set():
            self._closed.set()
            self._thread.join(_PATIENCE_SECONDS)
            if not self._thread.is_alive():
                self._library.nvmlShutdown()

    def _sample(self) -> None:
        # A driver that hangs must not hang the user's program with it.
        if not self._reading.acquire(timeout=_PATIENCE_SECONDS):
            slow = f"A reading takes over {_PATIENCE_SECONDS:.0f} s."
            raise MeasurementError("The board does not answer.", slow, "Restart the driver.")
        try:
            self._sample_alone()
        finally:
            self._reading.release()

    def _sample_alone(self) -> None:
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
            if now - then > _LONGEST_GAP_SECONDS:
                self._gap = MeasurementError(
                    "The board's power was not read all the time.",
                    f"For {now - then:.2f} s nobody read it: the process or the driver stood still.",
                    "Measure again.",
                )
            self._joules += max(0.0, now - then) * (watts + watts_then) / 2
        self._last = now, watts

    def _watch(self) -> None:
        draw = random.Random()
        while not self._closed.wait(draw.uniform(0.5, 1.5) * _MEAN_PAUSE_SECONDS):
            try:
                self._sample()
            except MeasurementError:
                return  # kept for the next `read`

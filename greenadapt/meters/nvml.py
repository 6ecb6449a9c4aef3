"""The energy counter of an NVIDIA board (Volta and later), in millijoules since the driver was loaded.

The counter jumps every 10 to 500 ms, depending on the board; the meter finds out at the start, and
`greenadapt.meters.ticks` makes the best of it. The board's sensor itself may be off by some per cent, by the
same factor for all its figures (Yang, Adamek and Armour, "Part-time Power Measurements", 2024).
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from greenadapt.boards import open_board, start_nvml
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.meters.ticks import TickRecorder, period
from greenadapt.units import joules_from_millijoules

SENSOR_FRACTION = 0.05
_LONGEST_PERIOD_SECONDS = 0.5
_POLL_SECONDS = 0.001


class NvmlMeter:
    """The counter of one board; see `greenadapt.interfaces.Meter`.

    Args:
        device: A torch CUDA device; its board is found by UUID.

    Raises:
        MeasurementError: There is no driver, no such board, or the board has no energy counter.
    """

    def __init__(self, device: str) -> None:
        self._library: Any = start_nvml()
        self._last = 0.0
        try:
            self._board = open_board(self._library, device)
            self.info = MeterInfo("nvml", "measured", "gpu", systematic_fraction=SENSOR_FRACTION)
            self._last = self.read()
            self.find_period(2.5 * _LONGEST_PERIOD_SECONDS)
        except MeasurementError:
            self.close()
            raise

    def read(self) -> float:
        """Joules since the driver was loaded.

        Raises:
            MeasurementError: The counter cannot be read, or it went backwards (the driver was reloaded).
        """
        if self._library is None:
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        try:
            millijoules = self._library.nvmlDeviceGetTotalEnergyConsumption(self._board)
        except self._library.NVMLError_NotSupported as error:
            raise MeasurementError(
                "This board does not count its energy.",
                "NVML answers 'not supported'; boards older than Volta have no energy counter.",
                "Use --meter codecarbon, whose figure is an estimate and says so.",
            ) from error
        except self._library.NVMLError as error:
            raise MeasurementError(
                "The board's energy counter cannot be read.",
                f"NVML says: {error}.",
                "Run nvidia-smi: if it fails too, the driver needs a restart.",
            ) from error
        joules = joules_from_millijoules(millijoules)
        if joules < self._last:
            seen = f"From {self._last} J to {joules} J; the driver was probably reloaded."
            self._last = joules
            raise MeasurementError("The board's energy counter went backwards.", seen, "Measure again.")
        self._last = joules
        return joules

    def find_period(self, seconds: float) -> float:
        """Finds how often the counter moves, and keeps it in `info`; best done while the board works.

        Args:
            seconds: How long to look at most; five movements are enough.

        Raises:
            MeasurementError: The counter did not move three times.
        """
        end = time.perf_counter() + seconds
        with TickRecorder(self, _POLL_SECONDS) as recorder:
            while time.perf_counter() < end and len(recorder.ticks) < 5 and recorder.error is None:
                time.sleep(_POLL_SECONDS)
        if recorder.error is not None:
            raise recorder.error
        found = period(recorder.ticks)
        if found is None:
            raise MeasurementError(
                "The board's energy counter does not move.",
                f"It moved {len(recorder.ticks)} times in {seconds:.1f} s.",
                "Use --meter codecarbon, whose figure is an estimate and says so.",
            )
        self.info = dataclasses.replace(self.info, period_seconds=found)
        return found

    def close(self) -> None:
        """Lets go of NVML."""
        if self._library is not None:
            self._library.nvmlShutdown()
            self._library = None


class NvmlFactory:
    """Opens the counter of a board; see `greenadapt.interfaces.MeterFactory`."""

    def why_not(self, device: str) -> str | None:
        """None if the board behind `device` counts its energy, else why not and what to do."""
        if not device.startswith("cuda"):
            return f"{device} is no NVIDIA board; use --device cuda where there is one."
        try:
            NvmlMeter(device).close()
        except MeasurementError as error:
            return f"{error.happened} {error.seen} {error.todo}".strip()
        return None

    def open(self, device: str) -> Meter:
        """Opens the counter of the board behind `device`.

        Raises:
            MeasurementError: It has none, or it cannot be read.
        """
        if not device.startswith("cuda"):
            raise MeasurementError(
                f"The energy of {device!r} cannot be measured with nvml.",
                "It is no NVIDIA board.",
                "Use --meter rapl or --meter codecarbon for the processor.",
            )
        return NvmlMeter(device)


factory = NvmlFactory()

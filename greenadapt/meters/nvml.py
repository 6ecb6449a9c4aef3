"""The energy counters of NVIDIA boards, in millijoules since the driver was loaded.

    NvmlMeter           one board: its own counter (Volta and later), which jumps every 10 to 500 ms
    BoardsMeter         several boards: their sum; `parts` has them one by one, since their counters do not
                        move together
    IntegratedMeter     a board without a counter: see `greenadapt.meters.integrated`

A meter finds out how often its counter moves when it is opened, and again under load when
`NvmlMeter.find_period` is called; `greenadapt.meters.ticks` makes the best of it. A board's sensor itself
may be off by some per cent, by the same factor for all its figures (Yang, Adamek and Armour, "Part-time
Power Measurements", 2024). Nothing on a board is ever changed.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from greenadapt.boards import boards_of, mig_note, open_uuid, start_nvml
from greenadapt.boards.library import ask, failures
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.meters.clocks import REAL, Clock
from greenadapt.meters.integrated import IntegratedMeter
from greenadapt.meters.periods import enough, period_of
from greenadapt.meters.recorders import check_rises, watch
from greenadapt.units import joules_from_millijoules, watts_from_milliwatts

SENSOR_FRACTION = 0.05
_PATIENCE_SECONDS = 5.0
_LONGEST_SEARCH_SECONDS = 2.1
"""Four movements of the slowest counter that is known (500 ms)."""


class NvmlMeter:
    """The counter of one board; see `greenadapt.interfaces.Meter`. Any thread may read it.

    Args:
        uuid: The board's, with its prefix.
        clock: The clock on which the counter's period is found.

    Attributes:
        limit_watts: The power limit that the board enforced when it was opened; None where NVML does not
            tell.

    Raises:
        MeasurementError: There is no driver, no such board, or its counter cannot be read.
        NoCounterError: The board does not count its energy.
    """

    def __init__(self, uuid: str, clock: Clock = REAL) -> None:
        self._library: Any = start_nvml()
        self._clock = clock
        self._reading = threading.Lock()
        self._last = 0.0
        try:
            self._board = open_uuid(self._library, uuid)
            self.info = MeterInfo(
                "nvml",
                "measured",
                "gpu",
                systematic_fraction=SENSOR_FRACTION,
                note=mig_note(uuid),
                board=uuid,
            )
            limit = ask(self._library, self._library.nvmlDeviceGetEnforcedPowerLimit, self._board)
            self.limit_watts = watts_from_milliwatts(limit) if limit else None
            self._last = self.read()
            self.find_period(_LONGEST_SEARCH_SECONDS)
        except BaseException:
            self.close()
            raise

    def read(self) -> float:
        """Joules since the driver was loaded.

        Raises:
            MeasurementError: The counter cannot be read, or it went backwards (the driver was reloaded).
            NoCounterError: The board does not count its energy.
        """
        with self._reading:
            library = self._library
            if library is None:
                raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
            try:
                millijoules = library.nvmlDeviceGetTotalEnergyConsumption(self._board)
            except library.NVMLError_NotSupported as error:
                raise NoCounterError(
                    "This board does not count its energy.",
                    "NVML answers 'not supported'; boards older than Volta have no energy counter.",
                    "Use --meter codecarbon, whose figure is an estimate and says so.",
                ) from error
            except failures(library) as error:
                raise MeasurementError(
                    "The board's energy counter cannot be read.",
                    f"NVML says: {error}.",
                    "Run nvidia-smi: if it fails too, the driver needs a restart.",
                ) from error
            before, self._last = self._last, joules_from_millijoules(millijoules)
            check_rises(before, self._last)
            return self._last

    def find_period(self, seconds: float) -> float:
        """Finds how often the counter moves, and keeps it in `info`; best done while the board works.

        Args:
            seconds: How long to look at most; five movements are enough where looks are close together.

        Raises:
            MeasurementError: The counter did not move three times, or it cannot be read.
        """
        ticks = watch(self, None, seconds, self._clock, enough)
        found = period_of(ticks)
        if found is None:
            raise MeasurementError(
                "The board's energy counter does not move.",
                f"It moved {len(ticks)} times in {seconds:.1f} s.",
                "Use --meter codecarbon, whose figure is an estimate and says so.",
            )
        self.info = dataclasses.replace(self.info, period_seconds=found)
        return found

    def close(self) -> None:
        """Lets go of NVML; where a reading hangs in the driver, it is left to itself after five seconds."""
        free = self._reading.acquire(timeout=_PATIENCE_SECONDS)
        library, self._library = self._library, None
        if not free:
            return  # shutting down under a call that runs would hang, or worse
        self._reading.release()
        if library is not None:
            library.nvmlShutdown()


class NoCounterError(MeasurementError):
    """A board that does not count its energy."""


class BoardsMeter:
    """Several boards as one; see `greenadapt.interfaces.Meter`.

    What its `info` says is the slowest counter's period and the greatest of the uncertainties.

    Args:
        parts: The meters of the boards; closed with this one.

    Attributes:
        parts: The same.
    """

    def __init__(self, parts: Sequence[NvmlMeter | IntegratedMeter]) -> None:
        self.parts = list(parts)
        self.info = self._describe()

    def read(self) -> float:
        """Joules of all boards together.

        Raises:
            MeasurementError: One of them cannot be read, or went backwards; there is no partial sum.
        """
        return sum(part.read() for part in self.parts)

    def find_period(self, seconds: float) -> float:
        """As `NvmlMeter.find_period`, of all boards at once; the longest of their periods.

        Raises:
            MeasurementError: The counter of one of them does not move, or cannot be read.
        """
        counters = [part for part in self.parts if isinstance(part, NvmlMeter)]
        if not counters:
            return 0.0
        with ThreadPoolExecutor(len(counters)) as threads:
            longest: float = max(threads.map(lambda part: part.find_period(seconds), counters))
        self.info = self._describe()
        return longest

    def close(self) -> None:
        """Closes all boards."""
        for part in self.parts:
            part.close()

    def _describe(self) -> MeterInfo:
        infos = [part.info for part in self.parts]
        periods = [info.period_seconds for info in infos if info.period_seconds is not None]
        notes = dict.fromkeys([f"sum of {len(infos)} boards", *(info.note for info in infos if info.note)])
        return MeterInfo(
            name="nvml",
            kind="measured",
            scope="gpu",
            period_seconds=max(periods, default=None),
            systematic_fraction=max((info.systematic_fraction or 0.0 for info in infos), default=None),
            note="; ".join(notes),
        )


class NvmlFactory:
    """Opens the counters of boards; see `greenadapt.interfaces.MeterFactory`.

    A device is a torch device ("cuda:1", or "cuda" for all boards that CUDA may see), or names boards as
    NVML does: "0", "1,0", "all", "GPU-1a2b".
    """

    def why_not(self, device: str) -> str | None:
        """None if the energy of these boards can be measured, else why not and what to do."""
        try:
            self.open(device).close()
        except MeasurementError as error:
            return f"{error.happened} {error.seen} {error.todo}".strip()
        return None

    def open(self, device: str) -> Meter:
        """Opens the boards that `device` names.

        Raises:
            MeasurementError: There is no such board, or one of them cannot be read.
        """
        if device == "cpu":
            raise MeasurementError(
                "The energy of 'cpu' cannot be measured with nvml.",
                "It is no NVIDIA board.",
                "Use --meter rapl or --meter codecarbon for the processor, or name a board: --meter nvml:0.",
            )
        uuids = boards_of(device)
        if len(uuids) == 1:
            return _open(uuids[0])
        with ThreadPoolExecutor(len(uuids)) as threads:
            opening = [threads.submit(_open, uuid) for uuid in uuids]
        failures = [each.exception() for each in opening]
        opened = [each.result() for each, failure in zip(opening, failures, strict=True) if failure is None]
        for failure in failures:
            if failure is not None:
                BoardsMeter(opened).close()
                raise failure
        return BoardsMeter(opened)


def _open(uuid: str) -> NvmlMeter | IntegratedMeter:
    try:
        return NvmlMeter(uuid)
    except NoCounterError:
        return IntegratedMeter(uuid)


factory = NvmlFactory()

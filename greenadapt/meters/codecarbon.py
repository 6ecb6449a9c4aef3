"""CodeCarbon, used the safe way: a model of the machine's energy, and a second opinion on the boards'.

Without a counter of its own, CodeCarbon takes a power from a table and the load, adds a guess for the
memory, and multiplies by time: in effect a constant power x time. As a meter its figure is labelled
"estimated" and no verdict is based on it. Of boards it reads the same counter as we do, so `Tracker` also
serves the cross-check of an audit (`greenadapt.auditing.crosscheck`).

How it is used, and why (CodeCarbon 3.3.2):

- The offline tracker with a forced intensity: no look-up of the place, no network. Carbon is worked out
  in `greenadapt.carbon`.
- Tasks only, since mixing ``start()`` with tasks loses energy. A reading ends the running task, adds its
  energy to the sum and starts the next: 1 to 3 ms on two cores, of which 0.5 ms fall between the tasks
  and count for neither. Opening takes 2 s the first time (it looks for hardware), then 1 ms.
- PUE 1, since it would be multiplied into the energy.
- Board numbers that we resolved by UUID, since it misreads UUIDs in ``CUDA_VISIBLE_DEVICES``; never an empty
  list, which its second tracker in a process takes for all boards.
- Every option is passed, so that of a ``.codecarbon.config`` only ``force_cpu_power`` and
  ``force_ram_power`` reach it: what the user knows of this machine.
- Its log is off, but it is heard: what it swallows stands in our error, and a stretch without any energy
  is an error too.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from greenadapt.boards import boards_of, nvml_indices
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.units import joules_from_kwh

NOTE = "constant power x time"
_NEVER_SECONDS = 1e6
_SHORTEST_SECONDS = 0.01
_FAREWELLS = ("graceful shutdown. Exceptions:", "stopping.")
_SEE_MORE = "Run codecarbon on its own with log_level='debug' to see more, or use --meter none."


@dataclass(frozen=True)
class Task:
    """What CodeCarbon says of one stretch.

    Attributes:
        seconds: From our call that began it to our call that ended it.
        joules: Processor, memory and boards together, by its model.
        board_joules: The boards alone.
        warnings: What it warned of meanwhile, in this thread.
    """

    seconds: float
    joules: float
    board_joules: float
    warnings: tuple[str, ...]


class Tracker:
    """CodeCarbon's offline tracker, one task at a time.

    Args:
        numbers: NVML's numbers of the boards to count; None counts all there are.

    Raises:
        MeasurementError: It could not be set up.
    """

    def __init__(self, numbers: list[int] | None) -> None:
        self._tracker, swallowed = _heard(lambda: _tracker(numbers or None))
        if not hasattr(self._tracker, "run_id"):
            raise _failed("CodeCarbon could not be set up.", "Its constructor swallowed an error", swallowed)
        self._began = time.perf_counter()
        self._heard_at_begin: tuple[str, ...] = ()

    def begin(self) -> None:
        """Begins a stretch.

        Raises:
            MeasurementError: CodeCarbon failed.
        """
        self._began = time.perf_counter()
        self._heard_at_begin = _heard(self._tracker.start_task)[1]

    def end(self) -> Task:
        """Ends the stretch.

        Raises:
            MeasurementError: CodeCarbon failed, or gave no energy for a stretch of time.
        """
        seconds = time.perf_counter() - self._began
        data, warnings = _heard(self._tracker.stop_task)
        kwh = data.energy_consumed if data is not None else 0.0
        warnings = (*self._heard_at_begin, *warnings)
        if kwh < 0 or (kwh == 0 and seconds > _SHORTEST_SECONDS):
            raise _failed("CodeCarbon gave no energy.", f"It says {kwh} kWh for {seconds:.3f} s", warnings)
        boards_kwh = data.gpu_energy if data is not None else 0.0
        return Task(seconds, joules_from_kwh(kwh), joules_from_kwh(boards_kwh), warnings)

    def close(self) -> None:
        """Ends the tracker and its timer; does not raise."""
        with contextlib.suppress(MeasurementError):
            _heard(self._tracker.stop_task)
            _heard(self._tracker.stop)


class CodeCarbonMeter:
    """Joules of the machine by CodeCarbon's power model; see `greenadapt.interfaces.Meter`.

    Args:
        device: A torch device or a board by NVML's name; of the boards, only these are counted (all of them
            for "cpu").

    Raises:
        MeasurementError: CodeCarbon could not be set up, or there is no such board.
    """

    def __init__(self, device: str) -> None:
        self.info = MeterInfo("codecarbon", "estimated", "machine", note=NOTE)
        self._joules = 0.0
        self._tracker: Tracker | None = Tracker(_indices(device))
        self._tracker.begin()

    def read(self) -> float:
        """Joules since the meter was opened, by CodeCarbon's model.

        Raises:
            MeasurementError: CodeCarbon gave no energy for a stretch of time, or the meter is closed.
        """
        if self._tracker is None:
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        try:
            self._joules += self._tracker.end().joules
        finally:
            self._tracker.begin()
        return self._joules

    def close(self) -> None:
        """Ends CodeCarbon's tracker and its timer."""
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None


def _indices(device: str) -> list[int] | None:
    return None if device == "cpu" else nvml_indices(boards_of(device))


class _Ear(logging.Filter):
    """Keeps the warnings that a logger gets, and lets nothing through to the terminal."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self.lines.append(f"{type(error).__name__}: {error}")
        elif record.levelno >= logging.WARNING:
            self.lines.append(record.getMessage())
        return False


def _heard(question: Callable[[], Any]) -> tuple[Any, tuple[str, ...]]:
    """The answer, and what CodeCarbon warned of meanwhile; between questions its log is off."""
    # Its constructor replaces handlers and levels; a filter survives both.
    log, ear = logging.getLogger("codecarbon"), _Ear()
    log.addFilter(ear)
    log.setLevel(logging.WARNING)
    try:
        return question(), tuple(ear.lines)
    except Exception as error:  # whatever its hardware detection stumbles over
        raise _failed("CodeCarbon failed.", f"{type(error).__name__}: {error}", ear.lines) from error
    finally:
        log.setLevel(logging.CRITICAL)
        log.removeFilter(ear)


def _failed(happened: str, seen: str, heard: Sequence[str]) -> MeasurementError:
    """An error that repeats what CodeCarbon logged instead of raising it."""
    lines = [line for line in heard if line not in _FAREWELLS]
    return MeasurementError(happened, f"{seen}{': ' if lines else ''}{'; '.join(lines)}.", _SEE_MORE)


def _tracker(gpu_ids: list[int] | None) -> Any:
    # Importing it may print (amdsmi does), and stdout belongs to the result.
    with contextlib.redirect_stdout(sys.stderr):
        from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(
        project_name="greenadapt",
        country_iso_code=None,
        country_2letter_iso_code=None,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        force_carbon_intensity_g_co2e_kwh=0.0,
        electricitymaps_api_token=None,
        emissions_endpoint=None,
        output_dir=".",
        output_methods=[],
        output_handlers=[],
        metadata=None,
        measure_power_secs=_NEVER_SECONDS,
        api_call_interval=-1,
        gpu_ids=gpu_ids,
        tracking_mode="machine",
        force_mode_cpu_load=False,
        rapl_include_dram=False,
        rapl_prefer_psys=False,
        pue=1.0,
        wue=0.0,
        log_level="warning",
        logger_preamble="",
        allow_multiple_runs=True,
    )


class CodeCarbonFactory:
    """Opens the estimate; see `greenadapt.interfaces.MeterFactory`."""

    def why_not(self, device: str) -> str | None:
        """None: an estimate needs no instrument, only the installed package."""
        try:
            import codecarbon  # noqa: F401
        except ImportError:
            return "CodeCarbon is not installed; run: pip install 'codecarbon>=3.3.2'"
        return None

    def open(self, device: str) -> Meter:
        """Opens CodeCarbon's model of this machine.

        Raises:
            MeasurementError: It could not be set up, or there is no such board.
        """
        return CodeCarbonMeter(device)


factory = CodeCarbonFactory()

"""CodeCarbon's estimate of the machine's energy, for where nothing can be measured.

Without a counter of its own, CodeCarbon takes a power from a table and the load, adds a guess for the
memory, and multiplies by time: in effect a constant power x time. The figure is labelled "estimated"
and no verdict is based on it.

How it is used, and why (CodeCarbon 3.3.2):

- The offline tracker with a forced intensity: no look-up of the place, no network. Carbon is worked out
  in `greenadapt.carbon`.
- Tasks only, since mixing ``start()`` with tasks loses energy. A reading ends the running task, adds its
  energy to the sum and starts the next: 1 to 3 ms on two cores, of which 0.5 ms fall between the tasks
  and count for neither. Opening takes 2 s the first time (it looks for hardware), then 1 ms.
- PUE 1, since it would be multiplied into the energy.
- Board numbers that we resolved by UUID, since it misreads UUIDs in ``CUDA_VISIBLE_DEVICES``.
- Its log is off, and what it swallows is noticed: a stretch without any energy is an error here.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from greenadapt.boards import nvml_index, nvml_indices
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.units import joules_from_kwh

NOTE = "constant power x time"
_NEVER_SECONDS = 1e6
_SHORTEST_SECONDS = 0.01


class CodeCarbonMeter:
    """Joules of the machine by CodeCarbon's power model; see `greenadapt.interfaces.Meter`.

    Args:
        device: A torch device; of the boards, only this one is counted (all of them for "cpu").

    Raises:
        MeasurementError: CodeCarbon could not be set up.
    """

    def __init__(self, device: str) -> None:
        self.info = MeterInfo("codecarbon", "estimated", "machine", note=NOTE)
        self._joules = 0.0
        self._tracker: Any = _tracker([nvml_index(device)] if device.startswith("cuda") else nvml_indices())
        self._begin()

    def read(self) -> float:
        """Joules since the meter was opened, by CodeCarbon's model.

        Raises:
            MeasurementError: CodeCarbon gave no energy for a stretch of time, or the meter is closed.
        """
        if self._tracker is None:
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        seconds = time.perf_counter() - self._began
        task = _asked(self._tracker.stop_task)
        self._begin()
        kwh = task.energy_consumed if task is not None else 0.0
        if kwh < 0 or (kwh == 0 and seconds > _SHORTEST_SECONDS):
            raise MeasurementError(
                "CodeCarbon gave no energy.",
                f"It says {kwh} kWh for {seconds:.3f} s.",
                "Run codecarbon on its own with log_level='debug' to see what it swallows.",
            )
        self._joules += joules_from_kwh(kwh)
        return self._joules

    def close(self) -> None:
        """Ends CodeCarbon's tracker and its timer."""
        if self._tracker is not None:
            tracker, self._tracker = self._tracker, None
            tracker.stop_task()
            tracker.stop()

    def _begin(self) -> None:
        self._began = time.perf_counter()
        _asked(self._tracker.start_task)


def _asked(question: Callable[[], Any]) -> Any:
    try:
        return question()
    except Exception as error:  # whatever its hardware detection stumbles over
        raise MeasurementError(
            "CodeCarbon failed.",
            f"{type(error).__name__}: {error}",
            "Run codecarbon on its own to see more, or use --meter none.",
        ) from error


def _tracker(gpu_ids: list[int]) -> Any:
    # Importing it may print (amdsmi does), and stdout belongs to the result.
    with contextlib.redirect_stdout(sys.stderr):
        from codecarbon import OfflineEmissionsTracker

    logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
    tracker = OfflineEmissionsTracker(
        country_iso_code=None,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        force_carbon_intensity_g_co2e_kwh=0.0,
        electricitymaps_api_token=None,
        emissions_endpoint=None,
        output_methods=[],
        output_handlers=[],
        measure_power_secs=_NEVER_SECONDS,
        gpu_ids=gpu_ids,
        tracking_mode="machine",
        pue=1.0,
        log_level="critical",
        allow_multiple_runs=True,
    )
    if not hasattr(tracker, "run_id"):
        raise MeasurementError(
            "CodeCarbon could not be set up.",
            "Its constructor swallowed an error; perhaps a .codecarbon.config is at fault.",
            "Run codecarbon on its own with log_level='debug' to see it, or use --meter none.",
        )
    return tracker


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
            MeasurementError: It could not be set up.
        """
        return CodeCarbonMeter(device)


factory = CodeCarbonFactory()

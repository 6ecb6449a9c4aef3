"""CodeCarbon's joules of the boards beside those of their own counters, over one stretch around all trials.

    own  CodeCarbon  own                                        own  CodeCarbon  own
     a1      |       a2      ... trials, idle, warm-up ...       b1      |       b2
              ------------------ CodeCarbon's task ------------------

Both read the same counter, so they must agree, whatever its sensor is worth: the check finds the wrong
board, a unit, a fallback to guessed power, energy lost between tasks. CodeCarbon reads somewhere between a1
and a2, and between b1 and b2; ours is the difference of the two means, and half of what the boards used
meanwhile is the doubt that is no disagreement. What it costs: 3 ms before and after, two seconds for
CodeCarbon's look at the hardware the first time, and its timer, once a second, 0.05 % of a core (measured
on two cores).

CodeCarbon's figure for the whole machine over the same stretch comes with it: processor and memory by its
model, so it is labelled "estimated".
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from greenadapt.boards import nvml_indices, open_uuid, start_nvml
from greenadapt.errors import GreenadaptError, MeasurementError
from greenadapt.machine import installed_version
from greenadapt.meters.codecarbon import Task, Tracker
from greenadapt.profile import Agreement
from greenadapt.units import joules_from_millijoules

MOST_DOUBT = 0.05
"""More than this, and the readings say nothing about each other."""
_SHOWS_BOARDS = "nvidia-smi"


class CrossCheck:
    """Lets CodeCarbon measure the same boards over the block; it never raises.

    Args:
        uuids: UUIDs of the boards, as NVML gives them; without any there is nothing to check.
    """

    def __init__(self, uuids: Sequence[str]) -> None:
        self._uuids = list(uuids)
        self._library: Any = None
        self._handles: list[Any] = []
        self._tracker: Tracker | None = None
        self._start: tuple[float, float] | None = None
        self._began = 0.0
        self._agreement: Agreement | None = None

    def __enter__(self) -> CrossCheck:
        """Reads the counters and begins CodeCarbon's task."""
        if self._uuids:
            try:
                self._begin()
            except Exception as error:
                # A second opinion must not cost the first: whatever it stumbles over is its own result.
                self._give_up(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the task, reads the counters again and compares."""
        try:
            if self._start is not None and self._tracker is not None:
                self._agreement = self._compared(self._tracker, self._start)
        except Exception as failure:  # as above
            self._give_up(failure)
        finally:
            self._close()

    def result(self) -> Agreement | None:
        """What came out, after the block; None where there are no boards."""
        return self._agreement

    def _begin(self) -> None:
        if shutil.which(_SHOWS_BOARDS) is None:
            raise MeasurementError(
                "CodeCarbon sees no board.",
                f"It looks for the program {_SHOWS_BOARDS}, which is not on PATH.",
                f"Put the driver's {_SHOWS_BOARDS} on PATH.",
            )
        self._library = start_nvml()
        self._handles = [open_uuid(self._library, uuid) for uuid in self._uuids]
        self._tracker = Tracker(nvml_indices(self._uuids))
        # The first task of a tracker looks for hardware; what counts begins after that.
        self._tracker.begin()
        self._tracker.end()
        before = self._read()
        self._began = time.perf_counter()
        self._tracker.begin()
        self._start = (before, self._read())

    def _compared(self, tracker: Tracker, start: tuple[float, float]) -> Agreement:
        before = self._read()
        task = tracker.end()
        return agreement(start, (before, self._read()), task, time.perf_counter() - self._began)

    def _read(self) -> float:
        """Joules of all boards together."""
        counted: float = 0
        for handle in self._handles:
            try:
                counted += self._library.nvmlDeviceGetTotalEnergyConsumption(handle)
            except self._library.NVMLError as error:
                raise MeasurementError(
                    "A board's energy counter cannot be read.",
                    f"NVML says: {error}.",
                    "See: greenadapt doctor",
                ) from error
        return joules_from_millijoules(counted)

    def _give_up(self, error: Exception) -> None:
        said = (
            f"{error.happened} {error.seen} {error.todo}".strip()
            if isinstance(error, GreenadaptError)
            else f"{type(error).__name__}: {error}"
        )
        self._agreement = Agreement(version=installed_version("codecarbon"), why_not=said)

    def _close(self) -> None:
        if self._tracker is not None:
            self._tracker.close()
            self._tracker = None
        if self._library is not None:
            library, self._library = self._library, None
            try:
                library.nvmlShutdown()
            except library.NVMLError as error:
                self._give_up(error)


def agreement(start: tuple[float, float], end: tuple[float, float], task: Task, seconds: float) -> Agreement:
    """CodeCarbon's task beside the counters' readings around its two ends.

    Args:
        start: The counters right before and right after CodeCarbon read them first, in joules.
        end: The same when it read them last.
        task: What CodeCarbon says.
        seconds: Length of the stretch.
    """
    own = (end[0] + end[1]) / 2 - (start[0] + start[1]) / 2
    doubt = ((end[1] - end[0]) + (start[1] - start[0])) / 2
    why_not = _why_not(start, end, own, doubt, task)
    return Agreement(
        seconds=seconds,
        own_joules=own if own > 0 else None,
        codecarbon_joules=task.board_joules if task.board_joules > 0 else None,
        relative_difference=(task.board_joules - own) / own if why_not is None else None,
        doubt_fraction=doubt / own if own > 0 else None,
        machine_joules=task.joules if task.board_joules > 0 else None,
        version=installed_version("codecarbon"),
        why_not=why_not,
    )


def _why_not(
    start: tuple[float, float], end: tuple[float, float], own: float, doubt: float, task: Task
) -> str | None:
    if not start[0] <= start[1] <= end[0] <= end[1]:
        return "The boards' counter went backwards; the driver was probably reloaded."
    if task.board_joules == 0:
        heard = f" It said: {'; '.join(task.warnings)}." if task.warnings else ""
        return f"CodeCarbon counted no energy of the boards.{heard}"
    if own <= 0 or doubt > MOST_DOUBT * own:
        return "The stretch was too short to compare: the counter moved between the readings."
    if task.warnings:
        return f"CodeCarbon warned: {'; '.join(task.warnings)}."
    return None

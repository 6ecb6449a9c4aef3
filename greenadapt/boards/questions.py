"""What a `greenadapt.boards.watch.Watch` asks a board, and what it makes of answers that do not come.

answer                    a value
never an answer, and      the board or its driver cannot tell: named in `Answers.not_told`
  NVML says it cannot
any other failure         a sentence in `Answers.problems`, once, with when and how often
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from greenadapt.boards.library import failures, silences
from greenadapt.units import joules_from_millijoules, seconds_from_nanoseconds, watts_from_milliwatts

POLICIES = {
    "power": "NVML_PERF_POLICY_POWER",
    "thermal": "NVML_PERF_POLICY_THERMAL",
    "sync boost": "NVML_PERF_POLICY_SYNC_BOOST",
    "board limit": "NVML_PERF_POLICY_BOARD_LIMIT",
    "reliability": "NVML_PERF_POLICY_RELIABILITY",
}
"""Policies that hold the clock down and count for how long. Those that count how long the clock was below its
base or application clock are left out: they run on any board that is not busy."""


@dataclass(frozen=True)
class Question:
    """One thing to ask.

    Attributes:
        key: Its name in answers.
        words: Its name in sentences.
        ask: From NVML's module and the board's handle to the answer, in the units of `BoardReport`.
    """

    key: str
    words: str
    ask: Callable[[Any, Any], Any]


def _pids(library: Any, handle: Any, kind: str) -> frozenset[int]:
    processes = getattr(library, f"nvmlDeviceGet{kind}RunningProcesses")(handle)
    return frozenset(process.pid for process in processes)


def _reasons(library: Any, handle: Any) -> int:
    try:
        return int(library.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except (AttributeError, library.NVMLError_FunctionNotFound):
        # Its name before driver 535.
        return int(library.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


def _violation(constant: str) -> Callable[[Any, Any], float]:
    def ask(library: Any, handle: Any) -> float:
        status = library.nvmlDeviceGetViolationStatus(handle, getattr(library, constant))
        return seconds_from_nanoseconds(status.violationTime)

    return ask


EVERY_LOOK = (
    Question(
        "power", "its power", lambda nvml, board: watts_from_milliwatts(nvml.nvmlDeviceGetPowerUsage(board))
    ),
    Question(
        "energy",
        "its energy",
        lambda nvml, board: joules_from_millijoules(nvml.nvmlDeviceGetTotalEnergyConsumption(board)),
    ),
    Question(
        "clock",
        "its clock",
        lambda nvml, board: float(nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_SM)),
    ),
    Question("reasons", "what holds its clock down", _reasons),
    Question("compute", "which processes compute on it", lambda nvml, board: _pids(nvml, board, "Compute")),
    Question("graphics", "which processes draw on it", lambda nvml, board: _pids(nvml, board, "Graphics")),
    Question(
        "temperature",
        "its temperature",
        lambda nvml, board: float(nvml.nvmlDeviceGetTemperature(board, nvml.NVML_TEMPERATURE_GPU)),
    ),
    Question(
        "limit",
        "its power limit",
        lambda nvml, board: watts_from_milliwatts(nvml.nvmlDeviceGetEnforcedPowerLimit(board)),
    ),
    *(
        Question(f"violation {name}", f"how long it was throttled ({name})", _violation(constant))
        for name, constant in POLICIES.items()
    ),
)
"""What may change during a run."""

ONCE = (
    Question("ecc", "whether ECC is on", lambda nvml, board: bool(nvml.nvmlDeviceGetEccMode(board)[0])),
    Question(
        "persistence",
        "whether it stays awake",
        lambda nvml, board: bool(nvml.nvmlDeviceGetPersistenceMode(board)),
    ),
    Question(
        "mig",
        "whether it is cut into MIG slices",
        lambda nvml, board: bool(nvml.nvmlDeviceGetMigMode(board)[0]),
    ),
    Question("mode", "its compute mode", lambda nvml, board: int(nvml.nvmlDeviceGetComputeMode(board))),
)
"""What is asked at the start and at the end."""


@dataclass
class _Record:
    asked: int = 0
    answered: int = 0
    failed: int = 0
    silent: int = 0
    first: float = 0.0
    error: str = ""


@dataclass
class Answers:
    """Asks one board, and keeps book of what did not come.

    Attributes:
        library: What `start_nvml` returned.
        handle: The board's.
    """

    library: Any
    handle: Any
    _records: dict[str, _Record] = field(default_factory=dict)

    def ask(self, questions: Sequence[Question], seconds: float) -> dict[str, Any]:
        """The answers that came, by key.

        Args:
            questions: What to ask.
            seconds: Since the start of the watch.
        """
        found = {}
        for question in questions:
            record = self._records.setdefault(question.key, _Record())
            record.asked += 1
            try:
                found[question.key] = question.ask(self.library, self.handle)
                record.answered += 1
            except failures(self.library) as error:
                self._note(record, error, seconds)
        return found

    def _note(self, record: _Record, error: Exception, seconds: float) -> None:
        silent = isinstance(error, silences(self.library))
        record.silent += silent
        record.failed += not silent
        if not record.error or (not silent and record.failed == 1):
            record.error, record.first = str(error) or type(error).__name__, seconds

    @property
    def not_told(self) -> tuple[str, ...]:
        """What NVML says that it cannot tell of this board."""
        return tuple(
            question.words
            for question in (*EVERY_LOOK, *ONCE)
            if (record := self._records.get(question.key)) and record.silent == record.asked
        )

    @property
    def problems(self) -> tuple[str, ...]:
        """A sentence for each kind of failure; questions that failed alike share it."""
        alike: dict[tuple[str, int, int, float], list[str]] = {}
        for question in (*EVERY_LOOK, *ONCE):
            record = self._records.get(question.key)
            if record is None or record.answered == record.asked or record.silent == record.asked:
                continue
            missing = record.failed + record.silent
            key = (record.error, missing, record.asked, round(record.first, 1))
            alike.setdefault(key, []).append(question.words)
        return tuple(
            f"{missing} of {asked} times NVML did not tell {', '.join(words)} (first after {first:g} s): "
            f"{error}."
            for (error, missing, asked, first), words in alike.items()
        )


@dataclasses.dataclass(frozen=True)
class Look:
    """The answers of one board at one moment.

    Attributes:
        seconds: Since the start of the watch.
        running: Which network ran, where that was told; see `greenadapt.boards.watch.Watch.running`.
        answers: By key of `EVERY_LOOK`; what did not come is missing.
    """

    seconds: float
    running: str | None
    answers: dict[str, Any]

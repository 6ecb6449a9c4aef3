"""NVML functions that fail: while a watch looks, when it begins, and while boards are named.

at the first look | three times midway | from midway on | always | not supported | at random
                                              ──> suspect, with a sentence;  what is not known stays None
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from greenadapt.boards import BoardReport, Watch, boards_of
from greenadapt.errors import MeasurementError
from tests.bench.forms import BY_BUS, environment
from tests.bench.runs import Row, judged_row, once, verdict, watched
from tests.simulator import Simulator

_DRAWS = 60
_CALLS: dict[str, tuple[str, Callable[[BoardReport], object]]] = {
    "nvmlDeviceGetPowerUsage": ("its power", lambda r: r.powers),
    "nvmlDeviceGetTotalEnergyConsumption": ("its energy", lambda r: (r.powers, r.counter_resets)),
    "nvmlDeviceGetClockInfo": ("its clock", lambda r: (r.sm_clock_mhz, r.clock_drift)),
    "nvmlDeviceGetCurrentClocksEventReasons": ("what holds its clock down", lambda r: r.reasons or None),
    "nvmlDeviceGetComputeRunningProcesses": ("which processes compute on it", lambda r: r.other_processes),
    "nvmlDeviceGetGraphicsRunningProcesses": ("which processes draw on it", lambda r: None),
    "nvmlDeviceGetTemperature": ("its temperature", lambda r: (r.temperature_last, r.temperature_motion)),
    "nvmlDeviceGetEnforcedPowerLimit": ("its power limit", lambda r: r.power_limits or None),
    "nvmlDeviceGetViolationStatus": ("how long it was throttled", lambda r: r.violations or None),
    "nvmlDeviceGetEccMode": ("whether ECC is on", lambda r: r.ecc),
    "nvmlDeviceGetPersistenceMode": ("whether it stays awake", lambda r: r.persistence),
    "nvmlDeviceGetMigMode": ("whether it is cut into MIG slices", lambda r: r.mig),
    "nvmlDeviceGetComputeMode": ("its compute mode", lambda r: r.compute_mode),
}
"""Functions that a watch uses: the words for what is missing, and the figure that must then be None."""
_AT_ENDS = ("EccMode", "PersistenceMode", "MigMode", "ComputeMode")


_TIMES: dict[str, tuple[float, str, int | None]] = {
    "at the first look": (0.0, "UNKNOWN", 1),
    "three times midway": (0.5, "TIMEOUT", 3),
    "from midway on": (0.5, "GPU_IS_LOST", None),
    "from midway on, too": (0.5, "NOT_SUPPORTED", None),
    "always": (0.0, "UNKNOWN", None),
}


def failing_calls(seed: int = 0) -> list[Row]:
    """Each NVML function of a watch failing: once, for a while, for good, never having worked, at random.

    Args:
        seed: Draws the moments of the looks.
    """
    found = []
    for function, (words, figure) in _CALLS.items():
        for when, (share, code, count) in _TIMES.items():
            report = _failing(function, share, code, count, seed)
            row = judged_row("failing call", f"{function} {when}, {code}", "suspect", words, verdict(report))
            honest = when != "always" or not _is_known(figure(report))
            found.append(replace(row, met=row.met and honest))
        report = _failing(function, 0.0, "NOT_SUPPORTED", None, seed)
        row = judged_row("failing call", f"{function} not supported", "valid", words, verdict(report))
        found.append(replace(row, met=row.met and not _is_known(figure(report))))
    return [*found, _at_random(seed), *_no_start(), *_unclear_boards()]


def _at_random(seed: int) -> Row:
    chance = random.Random(seed)
    missed = []
    for _ in range(_DRAWS):
        function = chance.choice(list(_CALLS))
        share, count = chance.uniform(0, 0.99), chance.choice([1, 2, 10, None])
        # What is asked at the ends only cannot fail once in between.
        count = None if function.endswith(_AT_ENDS) else count
        code = chance.choice(["UNKNOWN", "GPU_IS_LOST", "TIMEOUT", "IN_USE", "DRIVER_NOT_LOADED"])
        if verdict(_failing(function, share, code, count, chance.random())).status != "suspect":
            missed.append(f"{function} at {share:.2f}: {code}")
    shown = f"{_DRAWS - len(missed)} of {_DRAWS} suspect. {'; '.join(missed)}".strip()
    return Row("failing call", "any, at a random look", "suspect", shown, not missed, _DRAWS)


def _failing(function: str, share: float, code: str, count: int | None, seed: int) -> BoardReport:
    return watched(once(share, lambda board: board.fail(function, code, count=count)), seed)


def _is_known(figure: object) -> bool:
    return any(part is not None for part in (figure if isinstance(figure, tuple) else (figure,)))


def _no_start() -> list[Row]:
    found = []
    for function in ("nvmlInit", "nvmlDeviceGetHandleByUUID"):
        with Simulator.start(boards=1, virtual=True) as machine:
            machine.fail(function, "UNKNOWN")
            with Watch([machine.board(0).uuid], every_seconds=0, now=machine.now) as watch:
                pass
        judged = verdict(watch.reports()[0])
        found.append(
            judged_row("failing call", f"{function} when the watch begins", "suspect", "not watched", judged)
        )
    return found


_ASKED_FOR_NAMES = (
    "nvmlDeviceGetCount",
    "nvmlDeviceGetHandleByIndex",
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetMigMode",
    "nvmlDeviceGetHandleByUUID",
    "nvmlDeviceGetPciInfo_v3",
)


def _unclear_boards() -> list[Row]:
    """A call that fails while boards are named: the right board or an error, never the next one."""
    found = []
    for function in _ASKED_FOR_NAMES:
        with Simulator.start(boards=3, virtual=True) as machine:
            # What concerns no board yet, or makes one out of a name, fails for all.
            where = machine if "Count" in function or "Handle" in function else machine.board(0)
            where.fail(function, "UNKNOWN")
            right = machine.board(1).uuid
            with environment({"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": BY_BUS}):
                try:
                    said, met = boards_of("cuda:0")[0], boards_of("cuda:0") == [right]
                except MeasurementError as error:
                    said, met = f"error: {error.happened} {error.seen}", True
        found.append(
            Row("failing call", f"{function}, three boards, asked for 1", "board 1 or an error", said, met)
        )
    return found

"""`window`, Zeus and CodeCarbon around the very same blocks of whole calls, on the same board.

    window   [                                           ]      greenadapt: outermost
    CodeCarbon   [                                ]              its task API and its start/stop, in turn
    Zeus              [                    ]                     innermost, at any phase of the counter
    calls              |..|..|..|..|..|..|                       whole calls for W seconds
    watts    _idle____/                    \\_____idle______

Each figure is judged by the oracle between the moments at which the block of *that* tool began (its call to
begin had returned) and ended (its call to end had not been made), so none answers for the overhead of
another. Each is used as its documentation says: `ZeusMonitor.begin_window` and `end_window`, without the
synchronisation of a framework since the calls block; `OfflineEmissionsTracker` with the board's number.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import greenadapt
from greenadapt.units import joules_from_kwh
from tests.bench.energy import boards
from tests.bench.energy.calls import LENGTHS, hash_of
from tests.bench.energy.loads import IDLE_WATTS, Calls, idle_for
from tests.bench.energy.rows import Row, errors_shown

OURS, ZEUS, TASK, STARTED = "window", "Zeus", "CodeCarbon task", "CodeCarbon start/stop"
CELLS = (*((period, seconds) for period in (0.01, 0.02, 0.1) for seconds in (1.0, 5.0)), (0.5, 25.0))
_BLOCKS = {1.0: 4, 5.0: 2, 25.0: 2}
_Truth = tuple[float, float]


def installed(package: str) -> str | None:
    """The version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def tools() -> dict[str, str]:
    """What is compared, and how the page calls it; with "not installed" where it is not."""
    zeus, codecarbon = installed("zeus"), installed("codecarbon")
    return {
        OURS: "greenadapt `window`",
        ZEUS: f"Zeus {zeus}" if zeus else "Zeus",
        TASK: f"CodeCarbon {codecarbon}, task",
        STARTED: f"CodeCarbon {codecarbon}, start/stop",
    }


def rows(quick: bool, seed: int) -> list[Row]:
    """A row per tool and cell; without a bar.

    Args:
        quick: One cell, two call lengths.
        seed: Of phases and scatter.
    """
    cells, lengths = (((0.1, 1.0),), LENGTHS[2:4]) if quick else (CELLS, LENGTHS)
    wanted = [
        (period, seconds, length, jittered, 2 if quick else _BLOCKS[seconds], hash_of(seed, 1, number, place))
        for number, (period, seconds) in enumerate(cells)
        for place, (length, jittered) in enumerate((one, kind) for one in lengths for kind in (False, True))
    ]
    wanted.sort(key=lambda task: -task[1])
    found = boards.run_all("peers", compared, wanted, quick)
    made = []
    for period, seconds in cells:
        blocks = [
            block
            for task, result in zip(wanted, found, strict=True)
            if task[:2] == (period, seconds)
            for block in result
        ]
        made += [_row(tool, period, seconds, blocks) for tool in (OURS, ZEUS, TASK, STARTED)]
    return made


def compared(
    period: float, seconds: float, length: float, jittered: bool, blocks: int, seed: int
) -> list[dict[str, float | None]]:
    """Some blocks of whole calls under all tools; the relative error of each, by tool."""
    chance = random.Random(seed)
    (board,) = boards.fresh([period], chance)
    step = Calls(board, length, jittered, seed)
    zeus, codecarbon = zeus_monitor(0), codecarbon_tracker(0)
    found = []
    for number in range(blocks):
        idle_for(board, chance.uniform(0.1, 0.1 + period))
        errors: dict[str, float | None] = {}
        with greenadapt.window(meter="nvml:0", device="cpu") as window:
            start = time.perf_counter()
            # Ours begins right after a tick; the others would, too, and look better than they are.
            time.sleep(chance.uniform(0, period))
            around = with_task(codecarbon) if number % 2 == 0 else with_start(0)
            with around as by_codecarbon, with_zeus(zeus) as by_zeus:
                step.repeat(seconds)
                board.power(IDLE_WATTS)
            end = time.perf_counter()
        errors[OURS] = _error(board, (window.joules, (start, end)))
        errors[ZEUS] = _error(board, by_zeus()) if zeus is not None else None
        errors[TASK if number % 2 == 0 else STARTED] = _error(board, by_codecarbon())
        found.append(errors)
    return found


def _error(board: Any, found: tuple[float | None, _Truth]) -> float | None:
    joules, (start, end) = found
    return None if joules is None else joules / board.joules(start, end) - 1


def zeus_monitor(board: int) -> Any:
    """A monitor of one board; None where Zeus is not installed."""
    if importlib.util.find_spec("zeus") is None:
        return None
    from zeus.monitor import ZeusMonitor

    return ZeusMonitor(gpu_indices=[board], cpu_indices=[])


@contextmanager
def with_zeus(monitor: Any) -> Iterator[Callable[[], tuple[float | None, _Truth]]]:
    """A Zeus window around the block; call what it gives afterwards for joules, start and end."""
    found: list[tuple[float | None, _Truth]] = []
    if monitor is not None:
        monitor.begin_window("block", sync_execution=False)
    start = time.perf_counter()
    yield lambda: found[0]
    end = time.perf_counter()
    result = monitor.end_window("block", sync_execution=False) if monitor is not None else None
    found.append((result.total_energy if result is not None else None, (start, end)))


def codecarbon_tracker(board: int) -> Any:
    """A tracker of one board that writes nothing anywhere."""
    from codecarbon import OfflineEmissionsTracker

    return OfflineEmissionsTracker(
        country_iso_code="FRA",
        gpu_ids=[board],
        output_methods=[],
        log_level="critical",
        allow_multiple_runs=True,
    )


@contextmanager
def with_task(tracker: Any) -> Iterator[Callable[[], tuple[float | None, _Truth]]]:
    """A CodeCarbon task around the block; call what it gives afterwards for joules, start and end."""
    found: list[tuple[float | None, _Truth]] = []
    tracker.start_task()
    start = time.perf_counter()
    yield lambda: found[0]
    end = time.perf_counter()
    found.append((joules_from_kwh(tracker.stop_task().gpu_energy), (start, end)))


@contextmanager
def with_start(board: int) -> Iterator[Callable[[], tuple[float | None, _Truth]]]:
    """CodeCarbon's start and stop around the block; call what it gives afterwards as above."""
    found: list[tuple[float | None, _Truth]] = []
    tracker = codecarbon_tracker(board)
    tracker.start()
    start = time.perf_counter()
    yield lambda: found[0]
    end = time.perf_counter()
    tracker.stop()
    found.append((joules_from_kwh(tracker.final_emissions_data.gpu_energy), (start, end)))


def _row(tool: str, period: float, seconds: float, blocks: list[dict[str, float | None]]) -> Row:
    errors = [error for block in blocks if (error := block.get(tool)) is not None]
    shown, values = errors_shown(errors)
    missing = tool == ZEUS and installed("zeus") is None
    refused = sum(1 for block in blocks if tool in block) - len(errors)
    return Row(
        name=tools()[tool],
        condition=f"U = {period * 1000:.0f} ms, {seconds:g} s",
        bar="",
        shown="not installed" if missing else shown,
        met=None,
        n=len(errors),
        note=f"{refused} refused" if refused and not missing else "",
        values=values,
        raw=errors,
    )

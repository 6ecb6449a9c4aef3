"""A pool of processes, each with simulated boards of its own, so that no two loads share an interpreter.

Loads and recorders mostly sleep, so several fit on a core; a figure would show it if they did not.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from typing import Any

from tests.simulator import Simulator

PROCESSES, QUICK_PROCESSES = 12, 2


def fresh(periods: Sequence[float], chance: random.Random, jitter: float = 0.0) -> list[Any]:
    """Boards of this process, all that was before forgotten; the counters' phases are drawn.

    Args:
        periods: Seconds between two movements of each board's counter; one board for each.
        chance: Draws the phases.
        jitter: How unevenly the counters move, in periods.
    """
    simulator = Simulator.start(boards=len(periods))
    made = []
    for index, period in enumerate(periods):
        board = simulator.board(index)
        board.configure(
            uuid=f"GPU-{chance.getrandbits(32):08x}-0000-4000-8000-{index:012x}",
            update_seconds=period,
            phase=chance.random(),
            jitter=jitter,
        )
        made.append(board)
    return made


def say(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@cache
def workers(processes: int) -> ProcessPoolExecutor:
    """Worker processes, the same ones on every call; each imports what it needs once."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, mp_context=spawn, initializer=_prepare)


def dismiss() -> None:
    """Lets all workers go."""
    for processes in (QUICK_PROCESSES, PROCESSES):
        workers(processes).shutdown()
    workers.cache_clear()


def _prepare() -> None:
    """Sends what libraries print to nowhere (the results come back by themselves), and warms up imports."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    import torch

    torch.set_num_threads(1)
    os.environ["PATH"] = Simulator.environment()["PATH"]


def run_all(
    label: str, task: Callable[..., Any], arguments: Iterable[tuple[Any, ...]], quick: bool = False
) -> list[Any]:
    """Runs a task for every tuple of arguments; results in the order of the arguments.

    Args:
        label: For the progress.
        task: A function of a module, since it runs in another process.
        arguments: What to call it with.
        quick: Two processes only, which start sooner.

    Raises:
        Exception: What a task raised.
    """
    start = time.perf_counter()
    team = workers(QUICK_PROCESSES if quick else PROCESSES)
    futures = [team.submit(task, *given) for given in arguments]
    for done, _ in enumerate(as_completed(futures), 1):
        if done % 10 == 0 or done == len(futures):
            say(f"{label}: {done} of {len(futures)}, {time.perf_counter() - start:.0f} s")
    return [future.result() for future in futures]

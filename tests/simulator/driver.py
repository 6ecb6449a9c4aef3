"""`Simulator`: the simulated machine, its boards, its clock, and the environment of child processes."""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.simulator import loading
from tests.simulator.board import Board
from tests.simulator.building import build
from tests.simulator.loading import REFUSALS, Library, SimulatorError, check


class VirtualClock:
    """The simulator's clock as a `greenadapt.meters.clocks.Clock`; sleeping advances virtual time."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def now(self) -> float:
        return self._simulator.now()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._simulator.advance(seconds)


class Simulator:
    """The simulated machine; one per process. Boards idle at 60 W until told otherwise."""

    def __init__(self, library: Library, boards: int) -> None:
        self._library = library
        self._c = library.quick
        self._boards = [Board(library, index) for index in range(boards)]

    @classmethod
    def start(cls, boards: int = 1, *, virtual: bool = False) -> Self:
        """Builds the library if need be, loads it, resets everything, and makes pynvml use it.

        Args:
            boards: How many, 0 to 16.
            virtual: Begin with the clock stopped.

        Raises:
            BuildError: It cannot be built here; `tests.simulator.why_not` tells beforehand.
            SimulatorError: `boards` is out of range.
        """
        library = Library.get()
        library.adoption.take(library.shared)
        check(library.quick.sim_reset(boards), f"boards={boards}")
        simulator = cls(library, boards)
        if virtual:
            simulator.virtual(True)
        return simulator

    @classmethod
    def attach(cls) -> Self:
        """The machine as it runs, nothing reset: for a child process started with `environment`."""
        library = Library.get()
        library.adoption.take(library.shared)
        count = 0
        while library.quick.sim_text(count, -1, ctypes.create_string_buffer(96), 96) == 0:
            count += 1
        return cls(library, count)

    def stop(self) -> None:
        """From now on there is no driver, as far as pynvml can tell; what it had before is put back."""
        self._c.sim_absent()
        self._library.adoption.give_back()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @staticmethod
    def environment(base: dict[str, str] | None = None, **state: Any) -> dict[str, str]:
        """The environment of a child process that finds the library and a do-nothing ``nvidia-smi``.

        Args:
            base: What to begin with; by default this process's own.
            state: What the child starts in: `boards`, `power`, `square`, `each` and the other keys that
                library/startup.c lists.
        """
        folder = build()
        environment = dict(os.environ if base is None else base)
        for name, first in {
            "LD_LIBRARY_PATH": folder,
            "PATH": folder / "bin",
            "PYTHONPATH": Path(__file__).parents[2],
        }.items():
            rest = environment.get(name)
            environment[name] = f"{first}{os.pathsep}{rest}" if rest else str(first)
        environment.pop("GREENADAPT_SIMULATOR", None)
        if state:
            environment["GREENADAPT_SIMULATOR"] = json.dumps(state)
        return environment

    @property
    def boards(self) -> list[Board]:
        """All boards, in NVML's order."""
        return list(self._boards)

    def board(self, index: int) -> Board:
        """The board with that NVML number."""
        if not 0 <= index < len(self._boards):
            raise SimulatorError(f"board {index}: {REFUSALS[-1]}")
        return self._boards[index]

    def now(self) -> float:
        """Seconds of ``time.perf_counter``, or of the virtual clock."""
        return float(self._c.sim_now())

    def virtual(self, on: bool) -> None:
        """Stops the library's clock where it is, or lets it run again.

        Raises:
            SimulatorError: Virtual time has run ahead of real time, so it cannot go back.
        """
        check(self._c.sim_virtual(int(on)), f"virtual({on})")

    def advance(self, seconds: float) -> None:
        """Lets virtual time pass.

        Raises:
            SimulatorError: Time is real, or `seconds` is below 0.
        """
        check(self._c.sim_advance(seconds), f"advance({seconds})")

    def clock(self) -> VirtualClock:
        """The clock to hand to code that takes one."""
        return VirtualClock(self)

    def calls(self, function: str) -> int:
        """How often a function of NVML has been called since the start, by its full exported name."""
        loading.exported(self._library, function)
        return int(self._c.sim_calls(function.encode()))

    def fail(self, function: str, code: int | str, at: float | None = None, count: int | None = None) -> None:
        """As `Board.fail`, for every board and for the functions that concern none."""
        loading.fail(self._library, function, -1, code, at, count)

    def heal(self) -> None:
        """Takes back everything that was told to fail."""
        self._c.sim_heal()

    def driver(self, version: str) -> None:
        """Sets the driver's version."""
        check(self._c.sim_driver(version.encode()), "driver")

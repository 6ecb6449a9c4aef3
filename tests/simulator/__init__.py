"""A simulated ``libnvidia-ml.so.1`` whose true energy is known; pynvml and what builds on it load it.

    library/      the C source; library/simulator.h says which file does what
    building.py   compiles it once per machine and source, and makes pynvml take it
    loading.py    loads it, and knows the arguments of its own functions
    driver.py     `Simulator`: the machine, the clock, the environment of child processes
    board.py      `Board`: what a test sets and asks
    fixture.py    the fixture `simulator`, which tests/conftest.py imports

In a test's own process:

    sim = Simulator.start(boards=2)
    sim.board(0).square(60, 300, 0.037)
    ...                                             # whatever reads NVML
    truth = sim.board(0).joules(start, end)         # moments of time.perf_counter

In a child process, which need not know of it:

    subprocess.run([...], env=Simulator.environment(boards=2, square=[60, 300, 0.037]))

A child that wants the truth as well takes ``Simulator.attach()``.
"""

from __future__ import annotations

from tests.simulator.board import Board
from tests.simulator.building import build, why_not
from tests.simulator.driver import Simulator, VirtualClock
from tests.simulator.loading import SimulatorError

__all__ = ["Board", "Simulator", "SimulatorError", "VirtualClock", "build", "why_not"]

"""Calls that take a known time and draw a known power.

    watts   ____          ____          a call: three phases of different power, each ended at an absolute
           |    |__      |    |__       moment, so that lateness does not add up; what really happened the
       ____|       |_____|       |__    simulator records, and the oracle integrates

A jittered call takes up to a fifth more or less time than its nominal length, every one another.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

PHASES = ((0.25, 110.0), (0.45, 310.0), (0.30, 190.0))
"""Share of the call's length, and watts."""
IDLE_WATTS = 60.0
JITTER = 0.2


class Board(Protocol):
    """What is used of a simulated board here."""

    def power(self, watts: float) -> None:
        """Sets the power from now on."""

    def joules(self, start: float, end: float) -> float:
        """True energy between two moments of `time.perf_counter`."""


@dataclass
class Calls:
    """A step for `measure`; remembers when each call began and ended, and how much later than it should.

    Args:
        board: What draws the power.
        seconds: Nominal length of a call.
        jittered: Whether the lengths scatter.
        seed: Of the scatter.
    """

    board: Board
    seconds: float
    jittered: bool
    seed: int
    begun: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def __call__(self) -> None:
        start = time.perf_counter()
        length = self.seconds
        if self.jittered:
            length *= self._random.uniform(1 - JITTER, 1 + JITTER)
        deadline = start
        for share, watts in PHASES:
            self.board.power(watts)
            deadline += share * length
            sleep_until(deadline)
        self.begun.append(start)
        self.ended.append(time.perf_counter())
        self.late.append(self.ended[-1] - deadline)

    def repeat(self, seconds: float) -> None:
        """Whole calls until that much time has passed."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            self()


def sleep_until(moment: float) -> None:
    """Sleeps until a moment of `time.perf_counter`; not at all if it has passed."""
    rest = moment - time.perf_counter()
    if rest > 0:
        time.sleep(rest)


def idle_for(board: Any, seconds: float) -> None:
    """Lets a board rest, so that the next window starts at another phase of its counter."""
    board.power(IDLE_WATTS)
    time.sleep(seconds)

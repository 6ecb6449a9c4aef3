"""The one clock of all readings, and the protocol by which a test puts a virtual one in its place."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time and lets it pass."""

    def now(self) -> float:
        """Seconds since some fixed moment; never falls."""

    def sleep(self, seconds: float) -> None:
        """Waits that long, or not at all where `seconds` is not above 0."""


class _Real:
    def now(self) -> float:
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


REAL: Clock = _Real()
"""`time.perf_counter`, which completion times and the boards' simulator share."""

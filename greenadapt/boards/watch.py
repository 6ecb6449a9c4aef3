"""Looks at boards while networks run on them.

    with Watch(uuids) as watch:    look   look  look    look  look     look   about twice a second, at random
        run_trials(...)            |------|-----|-------|-----|--------|
    watch.reports()                                                           one `BoardReport` per board

A look is some fifteen questions to NVML; none of them changes anything on the board. The moments are random,
so that a load which repeats in step with the sensor's window does not fool the mean of the polled power.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from greenadapt.boards.library import ask, start_nvml
from greenadapt.boards.names import open_uuid
from greenadapt.boards.questions import EVERY_LOOK, ONCE, Answers, Look
from greenadapt.boards.report import BoardReport, report_of
from greenadapt.boards.tenants import Tenants
from greenadapt.errors import MeasurementError

_PATIENCE_SECONDS = 5.0


class Watch:
    """A context manager that looks at boards from a thread of its own; it never raises.

    Args:
        uuids: The boards; none of them gives no report.
        every_seconds: Mean time between looks; 0 starts no thread, and only `look` looks.
        now: The clock.
        tenants: Which processes are ours.

    Attributes:
        running: Which network runs right now, where somebody tells: clocks are then compared network by
            network, and moments between the trials (None) are left out.
        busy_seconds: Processor time that the looks took so far.
    """

    def __init__(
        self,
        uuids: Sequence[str],
        every_seconds: float = 0.5,
        now: Callable[[], float] = time.perf_counter,
        tenants: Tenants | None = None,
    ) -> None:
        self.running: str | None = None
        self.busy_seconds = 0.0
        self._boards = [_Board(uuid) for uuid in uuids]
        self._every = every_seconds
        self._now = now
        self._tenants = tenants if tenants is not None else Tenants()
        self._library: Any = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._start = 0.0

    def __enter__(self) -> Watch:
        self._start = self._now()
        self._open()
        self.look()
        if self._every > 0 and self._library is not None:
            self._thread = threading.Thread(target=self._run, name="greenadapt-watch", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self._thread is not None:
            # A driver that hangs must not hang the user's program with it.
            self._thread.join(_PATIENCE_SECONDS)
            if self._thread.is_alive():
                self._abandon()
        else:
            self.look(ONCE)
        if self._library is not None:
            ask(self._library, self._library.nvmlShutdown)
            self._library = None

    def look(self, besides: Sequence[Any] = ()) -> None:
        """Asks every board now.

        Args:
            besides: What to ask beside `EVERY_LOOK`.
        """
        began = time.thread_time()
        for board in self._boards:
            if self._library is not None:
                board.look(self._now() - self._start, self.running, besides)
        self.busy_seconds += time.thread_time() - began

    def now_running(self, name: str | None) -> None:
        """Tells the watch which network runs from now on; None between trials."""
        self.running = name

    def reports(self) -> list[BoardReport]:
        """One report per board, on what was seen so far."""
        return [board.report(self._tenants) for board in self._boards]

    def _open(self) -> None:
        if not self._boards:
            return
        try:
            self._library = start_nvml()
        except MeasurementError as error:
            for board in self._boards:
                board.problems.append(f"The board was not watched. {error.happened} {error.seen}")
            return
        for board in self._boards:
            board.open(self._library)

    def _abandon(self) -> None:
        """Leaves NVML as it is, with a call that has not come back."""
        self._library = None
        for board in self._boards:
            board.problems.append(
                f"NVML did not answer for {_PATIENCE_SECONDS:.0f} s at the end: the watch on the board was "
                "left without its last look."
            )

    def _run(self) -> None:
        moments = random.Random()
        try:
            while not self._stop.wait(self._every * moments.uniform(0.5, 1.5)):
                self.look()
            self.look(ONCE)  # from here, since the one who leaves waits only so long
        except Exception as error:  # a thread that dies must be heard of
            for board in self._boards:
                board.problems.append(f"The watch on the board ended early: {type(error).__name__}: {error}.")


class _Board:
    """One board of a watch."""

    def __init__(self, uuid: str) -> None:
        self.problems: list[str] = []
        self._uuid = uuid
        self._looks: list[Look] = []
        self._settings: dict[str, Any] = {}
        self._answers: Answers | None = None

    def open(self, library: Any) -> None:
        try:
            self._answers = Answers(library, open_uuid(library, self._uuid))
        except MeasurementError as error:
            self.problems.append(f"The board was not watched. {error.happened} {error.seen}")
            return
        self._settings = self._answers.ask(ONCE, 0.0)

    def look(self, seconds: float, running: str | None, besides: Sequence[Any]) -> None:
        if self._answers is None:
            return
        self._looks.append(Look(seconds, running, self._answers.ask(EVERY_LOOK, seconds)))
        for key, value in self._answers.ask(besides, seconds).items():
            if self._settings.setdefault(key, value) != value:
                self.problems.append(f"A setting of the board changed during the run ({key}).")

    def report(self, tenants: Tenants) -> BoardReport:
        if self._answers is None:
            return BoardReport(self._uuid, problems=tuple(self.problems))
        found = report_of(self._uuid, list(self._looks), self._settings, self._answers, tenants)
        return dataclasses.replace(found, problems=(*found.problems, *self.problems))

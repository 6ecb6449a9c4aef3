"""`window`: the energy of one stretch of any code, once, with a bound that holds.

    enter          block                     leave
    open, tick     |-------------------|     tick        tick
    --------x------|--x---x---x---x----|------x-----------x----> time
            waits for a tick           :pad   :   power   :
                                       :<---->:<--------->:
                         removed at the power measured right after it

Entering opens the meter, which watches the counter for about five of its movements, and waits for one more,
so that the block begins right after a tick: half a second for a counter of 100 ms, two seconds for one of
500 ms. Leaving waits for the second tick after the end: one to two periods. What the counter did in between
costs the block nothing but ten looks a second.

A board has one counter. Windows may nest, and the outer one says how long the inner ones waited; where
windows of several threads overlap on one board, each counts what the others' code took, and says so.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from types import TracebackType

from greenadapt.auditing.following import recorders_of
from greenadapt.auditing.instruments import Instrument, open_instrument, sentence
from greenadapt.auditing.neighbours import others_note, others_on
from greenadapt.auditing.window_parts import PartWindow, Reading
from greenadapt.errors import GreenadaptError
from greenadapt.machine import resolve_device
from greenadapt.profile import Kind

_SHARED = "Windows of several threads overlap on one counter: each counts what the others' code took."

_LEAST_WAIT_SECONDS = 0.001


class Window:
    """The energy of one stretch of code; filled in when the block is left.

    On a CUDA device the block's work is waited for, as far as it was given to torch; what another library
    has only queued must be waited for in the block.

    Windows may nest. What the inner ones wait for the counter, before and after their blocks, is time and
    energy of the outer one, which says in `notes` how long that was; windows of other threads do not count.

    Args:
        meter: A meter's name, "nvml:0" for a board of one's choice, "auto" or "none"; None is no name.
        device: The torch device whose energy counts; "cuda" for all boards that CUDA may see; "auto" for
            these, or the processor where there are none.

    Attributes:
        joules: Energy of the block; None where it is unknown. Of several boards, the sum: never a part of it.
        bound: How far the counter's truth may lie from it, in joules; None where that is unknown. It takes
            for granted that the power near an edge is at most ten times the greatest mean between the
            counter's movements around it, or 1.2 times the board's power limit, if that is more. The
            sensor's own error, `systematic_fraction` of the joules, comes on top.
        boards: Joules of each board by UUID.
        seconds: How long the block took.
        started: When it began, in seconds of `time.perf_counter`.
        kind: "measured" by a counter or "estimated"; None without joules.
        meter: Name of the instrument; None without one.
        period_seconds: How often the counter moves; None where it is not known.
        systematic_fraction: Stated uncertainty of the absolute joules, such as 0.05.
        shared: Whether a window of another thread counted on the same board meanwhile.
        notes: What else must be known.
        why_not: Why there are no joules, or why they are only estimated.
    """

    def __init__(self, meter: str, device: str) -> None:
        self.joules: float | None = None
        self.bound: float | None = None
        self.boards: dict[str, float] = {}
        self.seconds: float | None = None
        self.started: float | None = None
        self.kind: Kind | None = None
        self.meter: str | None = None
        self.period_seconds: float | None = None
        self.systematic_fraction: float | None = None
        self.shared = False
        self.notes: list[str] = []
        self.why_not: str | None = None
        self._wanted = (meter, device)
        self._instrument = Instrument(None, "cpu")
        self._parts: list[PartWindow] = []
        self._others: list[int | None] = []
        self._waited = 0.0

    def __enter__(self) -> Window:
        """Opens the meter and waits for a movement of its counter.

        Raises:
            OptionError: No such device or meter, or the meter is no name.
            MeasurementError: The meter that was asked for cannot be used.
        """
        entered = time.perf_counter()
        name, device = self._wanted
        self._instrument = open_instrument(name, _device(device))
        self.why_not = self._instrument.why_not
        info = self._instrument.info
        if info is not None:
            self.meter, self.period_seconds = info.name, info.period_seconds
            self.systematic_fraction = info.systematic_fraction
            self.notes += [info.note] if info.note else []
        _open.add(self, self._counters())
        try:
            parts = self._instrument.parts
            self._others.append(others_on(self._uuids()))
            self._instrument.synchronize()
            self._parts = [PartWindow(*pair) for pair in zip(parts, recorders_of(parts), strict=True)]
            for part in self._parts:
                part.begin()
            for part in self._parts:
                part.wait()
        except BaseException:
            self._close()
            raise
        self.started = time.perf_counter()
        _open.waited(self, self.started - entered)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Reads the meter and closes it; raises nothing but an interrupt of the user's, such as Ctrl-C."""
        left = time.perf_counter()
        try:
            self._leave()
        except Exception as failure:  # a plugin's meter may raise anything, and the block is the user's
            self._unknown(_words(failure))
        except BaseException as interrupt:
            self._unknown(f"Leaving the window was interrupted ({type(interrupt).__name__}).")
            raise
        finally:
            if self.seconds is None:
                self.seconds = left - (self.started if self.started is not None else left)
            _open.waited(self, time.perf_counter() - left)
            self._close_noting()

    def __str__(self) -> str:
        if self.seconds is None:
            return "a window that is still open" if self.started is not None else "a window"
        if self.joules is None:
            return f"energy unknown: {self.why_not}; {self.seconds:.4g} s"
        bound = f" +- {self.bound:.2g}" if self.bound is not None else ""
        notes = "".join(f"; {note}" for note in self.notes)
        return f"{self.joules:.4g}{bound} J, {self.kind}; {self.seconds:.4g} s{notes}"

    def _leave(self) -> None:
        failed: str | None = None
        try:
            self._instrument.synchronize()
        except RuntimeError as failure:
            failed = f"The device failed: {_words(failure)}"
        for part in self._parts:
            part.look()
        end = time.perf_counter()
        start = self.started if self.started is not None else end
        self.seconds = end - start
        self._note_shared()
        readings = [part.settle(start, end) for part in self._parts]
        if all(reading.joules is not None for reading in readings):
            self._others.append(others_on(self._uuids()))
        self.notes += others_note(self._others)
        if failed is not None:
            self._unknown(failed)
        elif readings:
            self._sum(readings)

    def _sum(self, readings: list[Reading]) -> None:
        for part, reading in zip(self._parts, readings, strict=True):
            if reading.joules is None:
                board = part.board
                named = f"{board}: {reading.why_not}" if board and len(readings) > 1 else reading.why_not
                self._unknown(named or "The meter gave no reading.")
                return
        known = [reading.joules for reading in readings if reading.joules is not None]
        bounds = [reading.bound for reading in readings if reading.bound is not None]
        info = self._instrument.info
        self.joules, self.kind = sum(known), info.kind if info is not None else None
        self.bound = sum(bounds) if len(bounds) == len(readings) else None
        named_parts = zip(self._parts, known, strict=True)
        self.boards = {part.board: joules for part, joules in named_parts if part.board is not None}

    def _unknown(self, why_not: str) -> None:
        self.joules = self.bound = self.kind = None
        self.boards = {}
        self.why_not = f"{why_not} {_SHARED}" if self.shared else why_not

    def _note_shared(self) -> None:
        _open.remove(self)
        if self.shared:
            self.notes.append(_SHARED)
        if self._waited >= _LEAST_WAIT_SECONDS:
            self.notes.append(f"It includes {self._waited:.2g} s that inner windows waited for the counter.")

    def _close_noting(self) -> None:
        try:
            self._close()
        except Exception as failure:
            self.notes.append(f"The meter could not be closed: {_words(failure)}")

    def _close(self) -> None:
        _open.remove(self)
        try:
            for part in self._parts:
                with suppress(GreenadaptError):
                    part.end()
        finally:
            self._instrument.close()

    def _uuids(self) -> list[str]:
        infos = [part.info for part in self._instrument.parts]
        return [info.board for info in infos if info.board is not None]

    def _counters(self) -> list[str]:
        infos = [part.info for part in self._instrument.parts]
        return [info.board or f"{info.name}: {info.scope}" for info in infos]


class _Open:
    """The windows that are open in this process, by counter."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._windows: dict[int, tuple[Window, int, list[str]]] = {}

    def add(self, window: Window, counters: list[str]) -> None:
        with self._lock:
            mine = threading.get_ident()
            for other, thread, theirs in self._windows.values():
                if thread != mine and not set(theirs).isdisjoint(counters):
                    other.shared = window.shared = True
            self._windows[id(window)] = (window, mine, counters)

    def waited(self, window: Window, seconds: float) -> None:
        """Tells the windows around this one, in its thread, how long it waited."""
        with self._lock:
            mine = threading.get_ident()
            for other, thread, _ in self._windows.values():
                if other is not window and thread == mine and other.started is not None:
                    other._waited += seconds

    def remove(self, window: Window) -> None:
        with self._lock:
            self._windows.pop(id(window), None)


_open = _Open()


def window(meter: str = "auto", device: str = "auto") -> Window:
    """Measures one stretch of any code: ``with greenadapt.window() as w: ...`` and then `w.joules`.

    Args:
        meter: A meter's name, "nvml:0" for a board of one's choice, "auto" or "none".
        device: The torch device whose energy counts; "cuda" for all boards that CUDA may see; "auto" for
            these, or the processor where there are none.

    Returns:
        A context manager; see `Window`. Leaving it never raises.
    """
    return Window(meter, device)


def _device(wanted: str) -> str:
    if wanted in ("auto", "cuda"):
        import torch

        if wanted == "cuda" or torch.cuda.is_available():
            return "cuda"
    return resolve_device(wanted)


def _words(error: Exception) -> str:
    text = sentence(error) if isinstance(error, GreenadaptError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())

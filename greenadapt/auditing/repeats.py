"""Repeating a call and noting when each was done: on the host, or by CUDA events.

On a CUDA device Python only launches a call; the moment at which it is done comes from an event. At most
`_IN_FLIGHT` calls are launched ahead, which keeps the board busy and the clock honest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Step = Callable[[], object]
_IN_FLIGHT = 8


@dataclass(frozen=True)
class Repeated:
    """Calls that ran one after the other.

    Attributes:
        boundaries: When the first began, and when each was done; seconds of `time.perf_counter`.
    """

    boundaries: list[float]

    @property
    def calls(self) -> int:
        """How many."""
        return len(self.boundaries) - 1

    @property
    def seconds(self) -> float:
        """From the start of the first to the end of the last."""
        return self.boundaries[-1] - self.boundaries[0]


def repeat(
    step: Step, device: str, seconds: float, done: Callable[[float, int], bool] | None = None
) -> Repeated:
    """Repeats a call for a while; at least once.

    Args:
        step: The call; on a CUDA device it may return before it is done.
        device: The torch device that it runs on.
        seconds: How long at least.
        done: Asked after that time with the start and the calls so far whether it may end.
    """
    calls = _CudaCalls(device) if device.startswith("cuda") else _HostCalls()
    start, count = calls.begin(), 0
    while True:
        step()
        calls.mark()
        count += 1
        if time.perf_counter() >= start + seconds and (done is None or done(start, count)):
            return Repeated([start, *calls.finish()])


def synchronize(device: str) -> None:
    """Waits until a torch device has done all that it was given; of "cuda", every board in use."""
    if not device.startswith("cuda"):
        return
    import torch

    if ":" in device:
        torch.cuda.synchronize(device)
        return
    for number in range(torch.cuda.device_count()):
        # Asking a board that torch does not use would start CUDA on it.
        if torch.cuda.memory_reserved(number) > 0:
            torch.cuda.synchronize(number)


class _Calls(Protocol):
    def begin(self) -> float: ...

    def mark(self) -> None: ...

    def finish(self) -> list[float]: ...


class _HostCalls(_Calls):
    def __init__(self) -> None:
        self._done: list[float] = []

    def begin(self) -> float:
        return time.perf_counter()

    def mark(self) -> None:
        self._done.append(time.perf_counter())

    def finish(self) -> list[float]:
        return self._done


class _CudaCalls(_Calls):
    def __init__(self, device: str) -> None:
        import torch

        self._cuda = torch.cuda
        self._device = torch.device(device)
        self._events: list[Any] = []

    def begin(self) -> float:
        self._cuda.synchronize(self._device)
        self._first = self._event()
        self._first.synchronize()
        self._start = time.perf_counter()
        return self._start

    def mark(self) -> None:
        self._events.append(self._event())
        if len(self._events) > _IN_FLIGHT:
            self._events[-_IN_FLIGHT - 1].synchronize()

    def finish(self) -> list[float]:
        self._cuda.synchronize(self._device)
        return [self._start + self._first.elapsed_time(event) / 1000.0 for event in self._events]

    def _event(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._device))
        return event

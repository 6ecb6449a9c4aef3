"""Times the parts of a network on the device it is on: the clock of all adapters, and rounds in place.

    warm up    every step, once or twice
    round 1    step a   step b   step c        each step reports the seconds of one or more parts
    round 2    step c   step b   step a        back again, so that a drift hits all of them alike
    ...        until the time is up

It is a first look before anything is trained or measured for good; `greenadapt.audit` is the instrument.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt import inspection
from greenadapt.adapters.modes import asked

Step = Callable[[], Mapping[str, float]]
"""Runs once and gives the seconds of its parts by name."""

BUDGET_SECONDS = 3.0
_FEWEST_ROUNDS, _MOST_ROUNDS = 2, 25
_UNSTEADY = 0.1


@dataclass(frozen=True)
class Timed:
    """Where and how something was timed.

    Attributes:
        device: A torch device.
        threads: Of torch, for networks on the CPU.
        batch_size: B.
        image: Channels, height and width.
        rounds: How often; all seconds are medians, of a batch.
        spread: Distance of the quartiles of the base's times, as a share of their median; of a network that
            is timed beside its base the larger of both.
    """

    device: str
    threads: int
    batch_size: int
    image: tuple[int, int, int]
    rounds: int
    spread: float

    @property
    def where(self) -> str:
        """In words, such as "cpu, 2 thread(s): batch 1 of 3x224x224, medians of 5 rounds"."""
        device = f"cpu, {self.threads} thread(s)" if self.device == "cpu" else self.device
        image = "x".join(map(str, self.image))
        return f"{device}: batch {self.batch_size} of {image}, medians of {self.rounds} rounds"

    @property
    def unsteady(self) -> str | None:
        """What is to be said of times that vary more than on an idle machine; None where they do not."""
        if self.spread <= _UNSTEADY:
            return None
        return f"The times vary by {100 * self.spread:.0f} %: something else is running."


def circumstances(images: Tensor, base_seconds: Sequence[float]) -> Timed:
    """What `Timed` tells of a batch [B, C, H, W] and the times that the base took for it."""
    return Timed(
        device=str(images.device),
        threads=torch.get_num_threads(),
        batch_size=len(images),
        image=(images.shape[1], images.shape[2], images.shape[3]),
        rounds=len(base_seconds),
        spread=spread(base_seconds),
    )


class Clock:
    """Marks moments in what a device does; on CUDA in its own queue, so that marking waits for nothing.

    Args:
        device: Where the work is done.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def mark(self) -> Any:
        """This moment, for `seconds`."""
        if self.device.type == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record(torch.cuda.current_stream(self.device))
            return event
        if self.device.type != "cpu":
            self.wait()
        return time.perf_counter()

    def wait(self) -> None:
        """Waits until the device has done all that it was given."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)

    @staticmethod
    def seconds(start: Any, end: Any) -> float:
        """From one mark to another; on CUDA after `wait` only."""
        if isinstance(start, float):
            return float(end - start)
        return float(start.elapsed_time(end)) / 1000.0


def timed(name: str, call: Callable[[], object], clock: Clock) -> Step:
    """A step of one part: the whole call, until the device is done with it."""

    def step() -> Mapping[str, float]:
        clock.wait()
        start = time.perf_counter()
        call()
        clock.wait()
        return {name: time.perf_counter() - start}

    return step


def rounds(steps: Sequence[Step], budget_seconds: float = BUDGET_SECONDS) -> dict[str, list[float]]:
    """Runs the steps forth and back until the time is up, at least twice.

    Args:
        steps: What to time.
        budget_seconds: How long, warm-up included; a network for which that is not enough takes what it must.

    Returns:
        The seconds of each part, in the order of the rounds.
    """
    end = time.monotonic() + budget_seconds
    for step in steps:
        step()
    if time.monotonic() < end - budget_seconds / 2:
        for step in steps:
            step()
    found: dict[str, list[float]] = {}
    for number in range(_MOST_ROUNDS):
        if number >= _FEWEST_ROUNDS and time.monotonic() > end:
            break
        for step in steps if number % 2 == 0 else reversed(steps):
            for name, seconds in step().items():
                found.setdefault(name, []).append(seconds)
    return found


def spread(values: Sequence[float]) -> float:
    """How much timings vary: distance of their quartiles, as a share of their median; 0.0 of a single one."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Networks in eval mode, without gradients; afterwards every module has the mode that it had."""
    with asked(*networks), torch.inference_mode():
        yield


def example_images(model: nn.Module, batch_size: int) -> Tensor:
    """Random images [batch_size, C, H, W] as a network takes them: its size, device, precision and format."""
    first = next(model.parameters())
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch_size, *inspection.input_shape(model), generator=generator)
    last = any(
        p.ndim == 4 and p.is_contiguous(memory_format=torch.channels_last) and not p.is_contiguous()
        for p in model.parameters()
    )
    placed = images.to(first.device, first.dtype)
    return placed.contiguous(memory_format=torch.channels_last) if last else placed

"""What measuring costs: progress of a step while the recorder looks at the counter against that in between.

    looks      ||         ||         ||          the recorder reads the counter ten times a second
    with      [---]      [---]      [---]        progress of the step in a window around a look, and in one
    without        [---]      [---]      [---]   as long right after it, in which nobody looks

A run with a recorder beside a run without one cannot show a thousandth on a machine whose pace wanders by
per cents from second to second; windows a few hundredths of a second apart can, hundreds of them in one
run. The figure is the mean of the pairs' differences without the tenth at either end (and its interval
after Yuen), since a machine that is taken away for a while would else decide it; the plain mean stands
beside it.

Two steps: one sleeps, as a step does that waits for a board; one works on a core and holds no lock of the
interpreter meanwhile, as a step does that launches kernels. CPU time is what the kernel charged to the
recorder's thread, over the whole trial.

Source: K. K. Yuen, The two-sample trimmed t for unequal population variances, Biometrika 61, 1974.
"""

from __future__ import annotations

import bisect
import math
import random
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from greenadapt.auditing.instruments import Instrument, Stretch
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.nvml import NvmlMeter
from greenadapt.statistics import student_t
from tests.bench.energy import boards
from tests.bench.energy.calls import hash_of
from tests.bench.energy.rows import Row, percent

PERIODS = (0.01, 0.02, 0.1, 0.5)
_SECONDS = 24.0
_AROUND_SECONDS = 0.004
"""How long before and after a look its cost may show: some calls."""
_TRIMMED = 0.1
_THROUGHPUT = 0.001
_CORE = 0.01
_NANOSECONDS = 1e9


class NotingMeter:
    """A meter that notes when it was read.

    Args:
        meter: What does the reading.
    """

    def __init__(self, meter: NvmlMeter) -> None:
        self.looks: list[tuple[float, float]] = []
        self._meter = meter

    @property
    def info(self) -> MeterInfo:
        """That of the meter."""
        return self._meter.info

    def read(self) -> float:
        """Joules, as the meter says."""
        start = time.perf_counter()
        joules = self._meter.read()
        self.looks.append((start, time.perf_counter()))
        return joules

    def close(self) -> None:
        """Closes the meter."""
        self._meter.close()


def rows(quick: bool, seed: int) -> list[Row]:
    """A row for throughput and one for the core, per step and period. Runs alone, on a quiet machine.

    Args:
        quick: One period and a short run.
        seed: Of phases.
    """
    periods, seconds = ((0.1,), 5.0) if quick else (PERIODS, _SECONDS)
    made = []
    for place, (name, step) in enumerate(steps().items()):
        for number, period in enumerate(periods):
            boards.say(f"cost: {name}, U = {period * 1000:g} ms")
            (board,) = boards.fresh([period], random.Random(hash_of(seed, 4, place, number)))
            board.power(250.0)
            made += paid(f"{name}, U = {period * 1000:g} ms", board.uuid, step, seconds)
    return made


def steps() -> dict[str, Callable[[], object]]:
    """A step that waits and a step that works, of about a millisecond each."""
    import torch

    torch.set_num_threads(1)
    matrix = torch.rand(384, 384, generator=torch.Generator().manual_seed(0))
    return {
        "a step that waits": lambda: time.sleep(0.001),
        "a step that works": lambda: torch.mm(matrix, matrix),
    }


def paid(condition: str, uuid: str, step: Callable[[], object], seconds: float) -> list[Row]:
    """Throughput and core time of one trial."""
    ended: list[float] = []

    def noted() -> None:
        step()
        ended.append(time.perf_counter())

    with closing(NotingMeter(NvmlMeter(uuid))) as meter:
        meter.looks.clear()
        with RecorderTime() as spent:
            trial = Instrument(meter, "cpu").stretch(noted, seconds)
    return [_throughput(condition, meter.looks, ended), _core(condition, spent.share(), trial)]


def lost_seconds(looks: Sequence[tuple[float, float]], ended: Sequence[float]) -> tuple[list[float], float]:
    """What each look, or group of looks close to one another, took from the step.

    Args:
        looks: When each began and ended.
        ended: When each call ended.

    Returns:
        Seconds of progress lost to each, and how many there were a second.
    """
    groups: list[tuple[float, float]] = []
    for start, end in looks:
        if groups and start - groups[-1][1] <= 2 * _AROUND_SECONDS:
            groups[-1] = (groups[-1][0], end)
        else:
            groups.append((start, end))
    call = (ended[-1] - ended[0]) / (len(ended) - 1)
    lost = []
    for (start, end), (following, _) in pairwise(groups):
        first, last = start - _AROUND_SECONDS, end + _AROUND_SECONDS
        free = 2 * last - first
        if first > ended[0] and free < min(ended[-1], following - _AROUND_SECONDS):
            there, beside = _done(ended, last) - _done(ended, first), _done(ended, free) - _done(ended, last)
            lost.append((beside - there) * call)
    return lost, len(groups) / (looks[-1][1] - looks[0][0])


def _done(ended: Sequence[float], moment: float) -> float:
    after = bisect.bisect_right(ended, moment)
    return after + (moment - ended[after - 1]) / (ended[after] - ended[after - 1])


def trimmed(values: Sequence[float]) -> tuple[float, float]:
    """Mean without the tenth at either end, and how far its 95 % interval reaches."""
    ordered, cut = sorted(values), int(_TRIMMED * len(values))
    kept = ordered[cut : len(ordered) - cut]
    winsorized = [kept[0]] * cut + kept + [kept[-1]] * cut
    error = statistics.stdev(winsorized) / ((1 - 2 * _TRIMMED) * math.sqrt(len(values)))
    return statistics.fmean(kept), student_t(len(kept) - 1) * error


def _throughput(condition: str, looks: Sequence[tuple[float, float]], ended: Sequence[float]) -> Row:
    found, pace = lost_seconds(looks, ended)
    name, bar = "throughput lost to measuring", f"< {_THROUGHPUT * 100:g} %, with its interval"
    if len(found) < 10:
        return Row(name, condition, bar, "no figure", False, len(found), "fewer than ten looks stand alone")
    middle, reach = trimmed(found)
    lost, low, high = middle * pace, (middle - reach) * pace, (middle + reach) * pace
    plain = statistics.fmean(found) * pace
    rate = len(looks) / (looks[-1][1] - looks[0][0])
    notes = [f"plain mean {percent(plain, 3)}; {rate:.0f} looks a second"]
    if low < _THROUGHPUT <= high:
        notes.append("the bar lies inside the interval")
    return Row(
        name,
        condition,
        bar,
        f"{percent(lost, 3)} [{percent(low, 3)}, {percent(high, 3)}]",
        high < _THROUGHPUT,
        len(found),
        "; ".join(notes),
        {"lost": lost, "low": low, "high": high, "plain": plain},
        [round(one * 1e6, 1) for one in found],
    )


def _core(condition: str, share: float | None, trial: Stretch) -> Row:
    return Row(
        "core time of the recorder",
        condition,
        f"< {_CORE * 100:g} % of one core",
        percent(share, 3) if share is not None else "no figure",
        share is not None and share < _CORE and trial.joules is not None,
        1,
        "" if trial.joules is not None else f"no joules: {trial.why_not}",
        {"core": share},
    )


class RecorderTime:
    """CPU time of the threads that greenadapt starts while the block runs, as the kernel charges it."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, float, float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> RecorderTime:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._ended.set()
        self._thread.join()

    def share(self) -> float | None:
        """CPU time over wall time of all those threads together; None where there was none."""
        wall = sum(last - first for first, last, _ in self._seen.values())
        return sum(cpu for _, _, cpu in self._seen.values()) / wall if wall > 0 else None

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            for thread in threading.enumerate():
                if thread.name.startswith("greenadapt") and thread.native_id is not None:
                    self._note(thread.native_id)

    def _note(self, number: int) -> None:
        try:
            text = Path(f"/proc/self/task/{number}/schedstat").read_text()
        except OSError:
            return
        now, cpu = time.perf_counter(), int(text.split()[0]) / _NANOSECONDS
        first = self._seen.get(number, (now, now, cpu))[0]
        self._seen[number] = (first, now, cpu)

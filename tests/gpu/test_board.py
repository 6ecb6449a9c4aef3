"""What a real board says of itself: its counter's period, counter against power, loads with a beat.

Run on a machine with an NVIDIA board (``pytest tests/gpu``); skipped elsewhere. The figures go into
docs/results/gpu-<name>.json: they are records of that board, and only what must hold on any board is
asserted.

    load     a chain of matrix products, launched without waiting
    beat     the load for two fifths of a period, rest for the remainder: 37, 100 and 102 ms
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

import greenadapt
from greenadapt.auditing.instruments import Instrument, open_instrument

pytestmark = [pytest.mark.gpu, pytest.mark.slow]
RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
METER, DEVICE = "nvml", "cuda:0"
_BUSY = 0.4
_SIZE = 2048


@pytest.fixture(scope="module")
def record() -> Iterator[dict[str, Any]]:
    """Figures of this board; written when the module's tests are done."""
    figures: dict[str, Any] = {"schema": "greenadapt/gpu-board", "schema_version": 1}
    yield figures
    name = torch.cuda.get_device_name(DEVICE)
    figures |= {"board": name, "torch": torch.__version__, "driver": _driver()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"gpu-{slug}.json").write_text(text, encoding="utf-8")


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    with closing(open_instrument(METER, DEVICE)) as opened:
        yield opened


def _driver() -> str:
    import pynvml

    pynvml.nvmlInit()
    try:
        return str(pynvml.nvmlSystemGetDriverVersion())
    finally:
        pynvml.nvmlShutdown()


def load(device: str = DEVICE, size: int = _SIZE) -> Callable[[], object]:
    """A chain of matrix products that is launched and not waited for."""
    kind = torch.float16 if device.startswith("cuda") else torch.float32
    left = torch.rand(size, size, device=device, dtype=kind)

    def step() -> object:
        product = left
        for _ in range(4):
            product = (product @ left).clamp_(max=1)
        return product

    return step


def beat(period_seconds: float, device: str = DEVICE, size: int = _SIZE) -> Callable[[], None]:
    """The load for two fifths of a period, then rest until the period is over."""
    work = load(device, size)

    def step() -> None:
        start = time.perf_counter()
        while time.perf_counter() < start + _BUSY * period_seconds:
            work()
            if device.startswith("cuda"):
                torch.cuda.synchronize(device)
        time.sleep(max(0.0, start + period_seconds - time.perf_counter()))

    return step


def polled_joules(board: str, seconds: float) -> tuple[float, int]:
    """Polled power of a board integrated over that long, by trapezoids, and the number of readings."""
    import pynvml

    pynvml.nvmlInit()
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(board)
        readings = []
        end = time.perf_counter() + seconds
        while not readings or readings[-1][0] < end:
            milliwatts = pynvml.nvmlDeviceGetPowerUsage(handle)
            readings.append((time.perf_counter(), milliwatts / 1000))
            time.sleep(0.02)
    finally:
        pynvml.nvmlShutdown()
    pairs = itertools.pairwise(readings)
    return sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairs), len(readings)


def counter_and_poll(meter: str, device: str, step: Callable[[], object], seconds: float) -> dict[str, Any]:
    """Counter and polled power over the same time under constant load, in joules a second."""
    with closing(open_instrument(meter, device)) as opened, ThreadPoolExecutor(1) as thread:
        board = opened.info.board if opened.info is not None else None
        assert board is not None
        poll = thread.submit(polled_joules, board, seconds)
        stretch = opened.stretch(step, seconds)
        polled, readings = poll.result()
    assert stretch.joules is not None, stretch.why_not
    by_counter, by_poll = stretch.joules / stretch.seconds, polled / seconds
    return {
        "seconds": seconds,
        "counter_watts": by_counter,
        "polled_watts": by_poll,
        "readings": readings,
        "polled_over_counter": by_poll / by_counter,
    }


def test_the_counters_period_is_found(instrument: Instrument, record: dict[str, Any]) -> None:
    found = []
    for _ in range(3):
        instrument.find_period(load())
        assert instrument.info is not None
        found.append(instrument.info.period_seconds)
    record["period_seconds"] = found
    assert all(period is not None and 0.005 <= period <= 1.0 for period in found)
    assert max(found) <= 1.2 * min(found)


def test_counter_against_polled_power_at_constant_load(record: dict[str, Any]) -> None:
    step = load()
    with closing(open_instrument("none", DEVICE)) as nothing:
        nothing.stretch(step, 5.0)  # until power has settled
    figures = counter_and_poll(METER, DEVICE, step, 30.0)
    record["counter_against_power"] = figures
    assert figures["counter_watts"] > 10
    assert 0.75 < figures["polled_over_counter"] < 1.25


@pytest.mark.parametrize("milliseconds", [37, 100, 102])
def test_joules_of_a_load_with_a_beat(milliseconds: int, record: dict[str, Any]) -> None:
    found = greenadapt.measure(beat(milliseconds / 1000), seconds=5.0, trials=5, meter=METER, device=DEVICE)
    assert found.joules_per_call is not None, found.why_not
    assert found.ci95 is not None
    record.setdefault("joules_per_iteration", {})[f"{milliseconds} ms"] = {
        "joules": found.joules_per_call,
        "ci95": list(found.ci95),
        "seconds": found.seconds_per_call.mean,
        "trials": [[trial.seconds, trial.calls, trial.joules] for trial in found.trials],
    }
    assert found.kind == "measured"
    low, high = found.ci95
    assert (high - low) / found.joules_per_call < 0.1


def test_a_window_agrees_with_measure(record: dict[str, Any]) -> None:
    """Both read one counter, so they agree within the window's bound and what the load itself varies."""
    step, calls = beat(0.05), 100
    by_measure = greenadapt.measure(step, seconds=5.0, trials=3, meter=METER, device=DEVICE)
    with greenadapt.window(meter=METER, device=DEVICE) as window:
        for _ in range(calls):
            step()
    assert by_measure.joules_per_call is not None, by_measure.why_not
    assert window.joules is not None, window.why_not
    assert window.bound is not None
    record["window"] = {
        "joules": window.joules,
        "bound": window.bound,
        "seconds": window.seconds,
        "joules_by_measure": by_measure.joules_per_call * calls,
    }
    expected = by_measure.joules_per_call * calls
    assert abs(window.joules - expected) <= window.bound + 0.1 * expected


def test_a_board_has_a_name_and_no_other_answers_for_it(instrument: Instrument) -> None:
    """The board behind the torch device is the one whose counter is read."""
    assert instrument.info is not None
    uuid = str(torch.cuda.get_device_properties(DEVICE).uuid)
    assert instrument.info.board is not None
    assert instrument.info.board.removeprefix("GPU-") == uuid.removeprefix("GPU-")

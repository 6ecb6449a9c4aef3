"""What the commonest paths cost: a short trial forth and one back, on images of one path alone.

    time left of what was announced ──> how many paths fit
    images of path 1 1 0 1, repeated to fill whole batches      path a  path b  path c
                                                                path c  path b  path a

The network runs as it did in the trials, its policy included, and the same instrument reads. A network's
own decision on the images is asked again, so that what is timed takes that path. Energy is a counter's or
unknown: an estimate of constant power times time would say nothing of a path that its time does not say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from greenadapt.auditing.decisions import Decisions
from greenadapt.auditing.instruments import Instrument
from greenadapt.auditing.loading import Loaded, step_of
from greenadapt.auditing.trials import Progress, planned_seconds, window_seconds
from greenadapt.auditing.workload import Workload, memory_format
from greenadapt.profile import PathCost, PathTrial, Plan
from greenadapt.statistics import execution_of, path_cost

if TYPE_CHECKING:
    from greenadapt.statistics.decisions import Bools

TIMED = 6
"""How many paths are timed, at most."""
LEAST_IMAGES = 4
_BATCHES = 2
_IDLE_PERIODS = 20.5
_PERIODS_BEYOND = 4
_CALLS_BEYOND = 2
NO_TIME = "The time that was announced for the audit was over."
_COMPILED = "The network is compiled, and each path would first be compiled for itself."
_UNREACHABLE = "The images of these data cannot be fetched again by their number."
_ESTIMATED = "Estimated energy is constant power x time, and says nothing of a path that its time does not."


@dataclass(frozen=True)
class Adaptive:
    """A network whose paths are to be timed.

    Attributes:
        loaded: The network as it ran in the trials.
        decisions: What it decided about the images.
        call_seconds: How long a call took in the trials.
    """

    loaded: Loaded
    decisions: Decisions
    call_seconds: float


def seconds_left(plan: Plan, networks: int, instrument: Instrument, spent: float) -> float:
    """How much of the announced time of an audit is left, the idle baseline at its end taken off.

    Args:
        plan: The plan.
        networks: How many run interleaved.
        instrument: What measures.
        spent: Seconds since the idle baseline at the start.
    """
    period = instrument.slow_period_seconds
    idle = max(plan.idle_seconds, _IDLE_PERIODS * (period or 0.0)) if plan.idle_seconds else 0.0
    return planned_seconds(plan, networks, period).most - idle - spent


def time_networks(
    instrument: Instrument,
    workload: Workload,
    networks: Mapping[str, Adaptive],
    seconds: float,
    progress: Progress,
) -> dict[str, dict[str, PathCost]]:
    """Times the commonest paths of one network after another; each gets its part of the time.

    Args:
        instrument: The one that measured the trials.
        workload: The images.
        networks: By name.
        seconds: How long all of it may take.
        progress: Told of every network.

    Returns:
        By name of the network, what `time_paths` gives.
    """
    end, found = time.perf_counter() + seconds, {}
    for number, (name, network) in enumerate(networks.items()):
        progress(f"paths of {name}", number / len(networks))
        share = (end - time.perf_counter()) / (len(networks) - number)
        found[name] = time_paths(instrument, network, workload, share)
    return found


def time_paths(
    instrument: Instrument, network: Adaptive, workload: Workload, seconds: float
) -> dict[str, PathCost]:
    """Times the commonest paths of one network.

    Args:
        instrument: The one that measured the trials.
        network: Which.
        workload: The images.
        seconds: How long all of it may take.

    Returns:
        By path, for the first `TIMED` ones: what it costs, or why that is unknown. Nothing where all images
        take one path, which the trials have timed.
    """
    loaded, table = network.loaded, network.decisions.table
    plan, period = loaded.rival.plan, instrument.slow_period_seconds or 0.0
    wanted = [each.path for each in execution_of(table).commonest[:TIMED]]
    if len(wanted) == 1:
        return {}
    if plan.compile or not isinstance(loaded.network, nn.Module):
        return {path: path_cost([], _COMPILED) for path in wanted}
    length = window_seconds(plan, period)
    each = 2 * (length + _PERIODS_BEYOND * period) + 2 * _CALLS_BEYOND * network.call_seconds
    fitting = max(0, int(seconds / each))
    steps: dict[str, Callable[[], object]] = {}
    found: dict[str, PathCost] = {}
    for path in wanted:
        if len(steps) >= fitting:
            found[path] = path_cost([], NO_TIME)
            continue
        images = _images_of(path, loaded, workload, table)
        if images is None or len(images) < LEAST_IMAGES:
            found[path] = path_cost([], _too_few(images))
        else:
            steps[path] = step_of(loaded.network, _filled(images, loaded))
    found |= _measured(instrument, steps, length, plan.batch_size)
    return {path: found[path] for path in wanted}


def _measured(
    instrument: Instrument, steps: Mapping[str, Callable[[], object]], seconds: float, size: int
) -> dict[str, PathCost]:
    info = instrument.info
    estimated = info is not None and info.kind != "measured"
    # Without an instrument that can tell paths apart only the clock runs.
    reader = Instrument(None, instrument.device, _ESTIMATED) if estimated else instrument
    trials: dict[str, list[PathTrial]] = {name: [] for name in steps}
    reasons: dict[str, str | None] = {}
    forth = list(steps)
    for name in [*forth, *reversed(forth)]:
        steps[name]()  # the one before it left other things in the caches
        stretch = reader.stretch(steps[name], seconds)
        reasons[name] = reasons.get(name) or stretch.why_not
        trials[name].append(
            PathTrial(
                seconds=stretch.seconds,
                calls=stretch.calls,
                inferences=stretch.calls * size,
                joules=stretch.joules,
            )
        )
    return {name: path_cost(trials[name], reasons[name] or "No reading.") for name in steps}


def _images_of(path: str, loaded: Loaded, workload: Workload, table: Bools) -> Tensor | None:
    """Images [n, C, H, W] that take a path, on the device; None where they cannot be had again."""
    import numpy as np

    plan = loaded.rival.plan
    row = np.array([digit == "1" for digit in path])
    numbers = np.flatnonzero((table == row).all(1))
    most = min(len(numbers), max(LEAST_IMAGES, _BATCHES * plan.batch_size))
    taken = [int(numbers[place * len(numbers) // most]) for place in range(most)]
    if workload.data is None:
        size = plan.batch_size
        images: Tensor | None = torch.stack([loaded.pool[n // size][n % size] for n in taken])
    else:
        images = workload.numbered(taken)
    if images is None:
        return None
    placed = workload.placed(images, plan)
    decide = getattr(loaded.network, "greenadapt_paths")  # noqa: B009  mypy knows no such attribute
    with torch.inference_mode():
        again = torch.cat([decide(part) for part in placed.split(plan.batch_size)])
    return placed[(again.bool() == torch.from_numpy(row).to(again.device)).all(1)]


def _filled(images: Tensor, loaded: Loaded) -> list[Tensor]:
    """Whole batches, some images twice if need be."""
    plan = loaded.rival.plan
    whole = -(-len(images) // plan.batch_size) * plan.batch_size
    rows = torch.arange(whole, device=images.device) % len(images)
    batches = images[rows].split(plan.batch_size)
    return [batch.contiguous(memory_format=memory_format(plan)) for batch in batches]


def _too_few(images: Tensor | None) -> str:
    if images is None:
        return _UNREACHABLE
    taken = "image takes" if len(images) == 1 else "images take"
    return f"Only {len(images)} {taken} it; at least {LEAST_IMAGES} are needed."

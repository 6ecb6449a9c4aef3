"""Made-up trials of networks, and what is read off them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

from greenadapt import statistics as st
from greenadapt.profile import Idle, Interval, Plan, Stages, Trial

NO_IDLE = Idle(before_watts=None, after_watts=None)
PLAN = Plan(trials=10)


def trial(block: int, seconds: float, joules: float | None, inferences: int = 100, calls: int = 10) -> Trial:
    return Trial(
        block=block,
        order=block,
        started_seconds=0.0,
        seconds=seconds,
        calls=calls,
        inferences=inferences,
        joules=joules,
        discarded=block == 0,
    )


def run(
    base: Sequence[float], other: Sequence[float], *, pilot: int | None = None, first: int = 1
) -> tuple[list[Trial], list[Trial]]:
    """Trials of two networks with the given joules, two a block (ABBA, then BAAB, ...)."""
    made: tuple[list[Trial], list[Trial]] = ([], [])
    left = (iter(base), iter(other))
    for number in range(len(base) // 2):
        which = (0, 1, 1, 0) if number % 2 == 0 else (1, 0, 0, 1)
        for place, network in enumerate(which):
            made[network].append(
                trial(first + number, 5.0, next(left[network]), inferences=1).model_copy(
                    update={
                        "order": 4 * (first + number) + place,
                        "stage": 1 if pilot is None or number < pilot else 2,
                    }
                )
            )
    return made


def noisy(blocks: int, seed: int, noise: float = 0.02, drift: float = 0.0, ratio: float = 0.9, **kwargs):
    """Such trials with even noise and an even drift per trial."""
    draw = random.Random(seed)
    order = [(0, 1, 1, 0) if number % 2 == 0 else (1, 0, 0, 1) for number in range(blocks)]
    joules: tuple[list[float], list[float]] = ([], [])
    for place, network in enumerate(itertools.chain.from_iterable(order)):
        joules[network].append(math.exp(draw.gauss(0, noise) + drift * place) * (ratio if network else 1))
    return run(*joules, **kwargs)


def reach(found: Interval | None) -> float:
    assert found is not None
    return math.log(found.high / found.low) / 2


def settled(trials: tuple[list[Trial], list[Trial]], plan: Plan = PLAN, measured: bool = True) -> Stages:
    return st.settle(dict(zip("AB", trials, strict=True)), plan, 5.0, measured=measured)

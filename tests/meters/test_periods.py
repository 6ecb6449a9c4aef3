"""The period of a counter from looks that come late, miss ticks, or take long."""

from __future__ import annotations

import random

import pytest

from greenadapt.meters.periods import enough, period_of, sharpen
from greenadapt.meters.ticks import Tick


def look_at(
    period: float, pause: float, seed: int, latency: float = 0.0, oversleep: float = 0.0
) -> list[Tick]:
    """Looks at a counter until there are ticks enough; now and then up to 10 ms late."""
    draw = random.Random(seed)
    phase, now, ticks = draw.uniform(0, period), draw.uniform(1, 2), list[Tick]()
    looked, stood = None, 0
    while now < 4 and not enough(ticks):
        before, now = now, now + latency
        stands = int((before + latency * draw.random() - phase) / period)
        if looked is not None and stands != stood:
            ticks.append(Tick((looked + now) / 2, float(stands), (now - looked) / 2))
        looked, stood = before, stands
        now += pause * (1 + 0.2 * draw.expovariate(1))
        now += draw.uniform(0, 0.01) if draw.random() < oversleep else 0.0
    return ticks


@pytest.mark.parametrize("period", [0.01, 0.013, 0.02, 0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize(
    ("pause", "latency", "oversleep"),
    [(0.001, 0, 0), (0.001, 0, 0.3), (0.004, 0, 0.02), (0.001, 0.003, 0.01), (0.008, 0, 0)],
    ids=["fine", "late", "coarse", "slow", "as coarse as the period"],
)
def test_it_is_found_within_ten_per_cent(period, pause, latency, oversleep):
    for seed in range(12):
        found = period_of(look_at(period, pause, seed, latency, oversleep))
        assert found == pytest.approx(period, rel=0.10)


def test_fine_looks_find_it_within_one_per_cent():
    for seed in range(20):
        assert period_of(look_at(0.1, 0.001, seed)) == pytest.approx(0.1, rel=0.01)


def test_too_few_ticks_are_no_period():
    assert period_of([]) is None
    assert period_of([Tick(0.1, 1.0), Tick(0.2, 2.0)]) is None
    assert period_of([Tick(0.1, 1.0), Tick(0.2, 2.0), Tick(0.3, 3.0)]) == pytest.approx(0.1)


def test_all_ticks_together_say_when_each_was():
    draw = random.Random(3)
    ticks, true = [], []
    for number in [*range(0, 20), *range(23, 60, 2)]:
        moment, width = 5 + 0.1 * number, draw.choice([0.0004, 0.0004, 0.012])
        late = draw.uniform(0, width)
        ticks.append(Tick(moment + late - width / 2, float(number), width / 2))
        true.append(moment)
    better = sharpen(ticks, 0.1005)
    assert max(abs(tick.seconds - moment) for tick, moment in zip(better, true, strict=True)) < 0.0004
    assert all(
        new.earliest >= old.earliest - 0.0002 and new.latest <= old.latest + 0.0002
        for new, old in zip(better, ticks, strict=True)
    )


def test_ticks_on_no_grid_are_left_alone():
    draw = random.Random(4)
    ticks = [Tick(0.1 * k + draw.uniform(-0.03, 0.03), float(k), 0.0002) for k in range(40)]
    assert sharpen(ticks, 0.1) == ticks
    assert sharpen(ticks[:2], 0.1) == ticks[:2]

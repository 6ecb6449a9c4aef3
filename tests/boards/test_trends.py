from __future__ import annotations

import random

import pytest

from greenadapt.boards.trends import drift, motion, powers

MOMENTS = [0.5 * look for look in range(120)]
ONE = [None] * len(MOMENTS)


def test_a_steady_clock_does_not_drift():
    assert drift(MOMENTS, [1980.0] * 120, ONE) == 0.0


@pytest.mark.parametrize("share", [0.03, -0.03])
def test_an_even_drift_is_two_thirds_of_the_whole_change(share):
    values = [1980.0 * (1 + share * moment / MOMENTS[-1]) for moment in MOMENTS]
    assert drift(MOMENTS, values, ONE) == pytest.approx(share * 2 / 3, rel=0.05)


def test_clocks_that_jump_at_random_rarely_count_as_drift():
    chance = random.Random(0)
    jumps = [drift(MOMENTS, [chance.choice([1980.0, 1800.0]) for _ in MOMENTS], ONE) for _ in range(500)]
    assert sum(each != 0.0 for each in jumps) <= 10


def test_drift_shows_beneath_networks_that_alternate():
    kinds = ["a" if look % 20 < 10 else "b" for look in range(120)]
    values = [
        (1980.0 if kind == "a" else 1500.0) * (1 - 0.03 * moment / MOMENTS[-1])
        for kind, moment in zip(kinds, MOMENTS, strict=True)
    ]
    assert drift(MOMENTS, values, kinds) == pytest.approx(-0.02, abs=0.004)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_few_samples_tell_nothing(count):
    moments = MOMENTS[:count]
    assert drift(moments, [1.0] * count, [None] * count) is None
    assert motion(moments, [1.0] * count) is None
    assert powers(moments, [1.0] * count, [1.0] * count) is None


def test_a_temperature_that_has_settled_does_not_move():
    warm_up = [min(70.0, 40.0 + moment) for moment in MOMENTS]
    assert motion(MOMENTS, warm_up) == 0.0
    assert motion(MOMENTS, [40.0 + moment / 5 for moment in MOMENTS]) == pytest.approx(4.0, abs=0.3)


def test_power_and_counter_agree_or_not():
    joules = [200.0 * moment for moment in MOMENTS]
    same = powers(MOMENTS, [200.0] * 120, joules)
    apart = powers(MOMENTS, [230.0] * 120, joules)
    assert same is not None
    assert apart is not None
    assert same.disagreement == pytest.approx(0.0)
    assert apart.disagreement == pytest.approx(0.15)


def test_readings_that_scatter_too_much_leave_it_open():
    chance = random.Random(0)
    watts = [chance.choice([60.0, 600.0]) for _ in MOMENTS]
    found = powers(MOMENTS, watts, [330.0 * moment for moment in MOMENTS])
    assert found is not None
    assert found.disagreement is None


def test_a_counter_that_stands_still_under_power_disagrees():
    found = powers(MOMENTS, [200.0] * 120, [5.0] * 120)
    assert found is not None
    assert found.disagreement is not None
    assert found.disagreement > 1


def test_a_reset_costs_only_its_own_interval():
    joules = [200.0 * moment - (5000.0 if look >= 60 else 0.0) for look, moment in enumerate(MOMENTS)]
    found = powers(MOMENTS, [200.0] * 120, joules)
    assert found is not None
    assert found.counter_watts == pytest.approx(200.0)

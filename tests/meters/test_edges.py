"""Energy at a moment between ticks: the estimate, and a bound that no power can leave."""

from __future__ import annotations

import pytest

from greenadapt.meters.edges import padding_watts, standing
from greenadapt.meters.ticks import Tick

EVEN = [Tick(0.0, 0.0), Tick(0.1, 10.0), Tick(0.2, 20.0), Tick(0.3, 40.0), Tick(0.4, 60.0)]


def test_the_padding_is_removed_at_the_power_measured_after_it():
    assert padding_watts(EVEN, 0.25) == pytest.approx(200)
    joules, bound = standing(EVEN, 0.25, watts=padding_watts(EVEN, 0.25))
    assert joules == pytest.approx(30)
    assert bound == pytest.approx(10)
    assert padding_watts(EVEN, 0.35) is None


def test_near_a_tick_the_bound_is_small():
    _, at_tick = standing(EVEN, 0.2)
    _, near = standing(EVEN, 0.201)
    _, between = standing(EVEN, 0.25)
    assert at_tick == pytest.approx(0, abs=1e-9)
    assert 0 < near < 0.25 * between


def test_the_estimate_never_leaves_what_the_ticks_allow():
    joules, bound = standing(EVEN, 0.21, watts=5000.0)
    assert joules == pytest.approx(20)
    assert joules + bound <= 40
    joules, _ = standing(EVEN, 0.21, watts=0.0)
    assert joules <= 40


def test_the_boards_limit_widens_the_bound_where_the_mean_is_small():
    """Idle at 15 W with a spike of 450 W for 2 ms right before and right after the edge."""
    idle = [Tick(k * 0.1, 1.5 * k) for k in range(5)]
    inside, outside = 1.5 * 2 + 0.087, 1.5 * 3
    spiked = [*idle[:3], Tick(0.3, outside + 0.87), Tick(0.4, outside + 2.37)]
    truth = inside + 0.87
    _, narrow = standing(idle, 0.202)
    assert standing(idle, 0.202, limit_watts=450.0)[1] > 2 * narrow
    joules, bound = standing(spiked, 0.202, watts=15.0, limit_watts=450.0)
    assert abs(joules - truth) <= bound


def test_doubt_about_a_tick_widens_the_bound():
    blurred = [*EVEN[:2], Tick(0.2, 20.0, 0.005), *EVEN[3:]]
    assert standing(blurred, 0.202)[1] > standing(EVEN, 0.202)[1]


def test_without_ticks_around_it_there_is_no_number():
    assert standing(EVEN, 0.41) is None
    assert standing(EVEN[2:], 0.1) is None
    joules, bound = standing(EVEN[2:], 0.15, watts=100.0, least=10.0)
    assert (joules, bound) == (pytest.approx(15), pytest.approx(5))

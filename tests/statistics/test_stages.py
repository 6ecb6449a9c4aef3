"""How long the second stage is, and what may decide on it."""

from __future__ import annotations

import math

import pytest

from greenadapt import statistics as st
from greenadapt.profile import Plan
from tests.statistics.trials import PLAN, noisy, reach, settled


def test_stage_two_is_sized_so_that_the_pilot_s_variance_meets_the_target():
    pilot = noisy(5, 2)
    stages = settled(pilot)
    assert stages.quantity == "joules"
    assert stages.worst == "B"
    needed = 5 * (reach(st.paired_ratio(*pilot, "joules")) / math.log(1.01)) ** 2
    assert stages.blocks == stages.needed_blocks == math.ceil(needed) > 5
    assert f"{stages.blocks} blocks bring it to ±1 %" in stages.reason


def test_stage_two_does_not_depend_on_what_came_after_the_pilot():
    whole = noisy(20, 2, pilot=5)
    pilot = tuple([each for each in network if each.stage == 1] for network in whole)
    assert settled(whole) == settled(pilot)
    assert st.decided(settled(whole), PLAN) == settled(whole)


def test_a_pilot_that_is_enough_stays_alone():
    stages = settled(noisy(5, 2, noise=0.001))
    assert stages.blocks == stages.pilot_blocks == 5
    assert "pilot was enough" in stages.reason


def test_the_budget_ends_the_second_stage():
    pilot = noisy(5, 2)
    late = tuple(
        [each.model_copy(update={"started_seconds": 5.0 * each.order}) for each in net] for net in pilot
    )
    stages = settled(late, PLAN.model_copy(update={"budget_seconds": 200.0}))
    assert stages.affordable_blocks is not None
    assert stages.needed_blocks is not None
    assert 5 < stages.blocks == stages.affordable_blocks < stages.needed_blocks
    assert "budget of 200 s" in stages.reason
    assert settled(late, PLAN.model_copy(update={"budget_seconds": 0.0})).blocks == 5


def test_estimates_steer_nothing_and_unknown_joules_leave_the_seconds():
    pilot = noisy(5, 2)
    assert settled(pilot, measured=False).quantity == "seconds"
    unknown = (pilot[0], [each.model_copy(update={"joules": None}) for each in pilot[1]])
    assert settled(unknown).quantity == "seconds"


def test_no_target_is_no_second_stage():
    stages = settled(noisy(5, 2), Plan.quick_look(trials=10))
    assert (stages.blocks, stages.needed_blocks) == (5, None)
    assert "No second stage" in stages.reason


@pytest.mark.parametrize(("trials", "blocks"), [(2, 2), (3, 2), (4, 2), (5, 3), (10, 5)])
def test_a_pilot_has_whole_blocks_and_at_least_two(trials, blocks):
    assert st.pilot_blocks(Plan(trials=trials)) == blocks


@pytest.mark.parametrize("fraction", [0.0, 1e-160, 9.9e-5, 1.01, 1e308])
def test_a_target_out_of_range_is_refused_before_anything_runs(fraction):
    with pytest.raises(ValueError, match="target_fraction"):
        Plan(target_fraction=fraction)


@pytest.mark.parametrize("fraction", [1e-4, 1.0])
def test_the_ends_of_the_target_s_range_can_be_settled(fraction):
    assert settled(noisy(5, 2), Plan(target_fraction=fraction, budget_seconds=1e9)).needed_blocks >= 2


def test_what_the_budget_affords_is_bounded_by_one_network_s_trials():
    whole = noisy(8, 5, pilot=5)
    late = tuple(
        [each.model_copy(update={"started_seconds": 5.5 * each.order}) for each in net] for net in whole
    )
    stages = settled(late)
    bounds = [st.affordable_range(each, PLAN) for each in late]
    assert all(low <= stages.affordable_blocks <= high for low, high in bounds)
    # The network that ran last knows it exactly.
    assert any(high == stages.affordable_blocks for _, high in bounds)
    assert all(high - low <= 20 for low, high in bounds)

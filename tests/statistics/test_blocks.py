"""Ratios of interleaved trials: what cancels, what widens the interval, what is left out."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from scipy import stats

from greenadapt import statistics as st
from greenadapt.profile import Trial
from tests.statistics.trials import NO_IDLE, noisy, reach, run, trial


def test_an_even_drift_leaves_no_trace_in_the_ratio():
    for blocks in (2, 3, 6):
        found = st.paired_ratio(*noisy(blocks, 0, noise=0.0, drift=0.1, ratio=0.8), "joules")
        assert found is not None
        assert found.mean == pytest.approx(0.8)
        assert reach(found) < 1e-12
        assert found.trials == 2 * blocks


def test_three_blocks_give_six_degrees_of_freedom():
    base, other = [1.0, 1.02, 0.99, 1.01, 1.0, 1.03], [0.9, 0.91, 0.92, 0.9, 0.89, 0.9]
    a, b = np.log(base).reshape(3, 2), np.log(other).reshape(3, 2)
    levels = b.mean(1) - a.mean(1)
    flip = np.array([1, -1, 1])
    contrasts = flip * ((a[:, 0] - a[:, 1]) - (b[:, 0] - b[:, 1])) / 2
    slopes = ((a[:, 0] - a[:, 1]) + (b[:, 0] - b[:, 1])) / 2
    slopes = slopes - slopes.mean()
    variance = (levels.var(ddof=1) + contrasts.var(ddof=1) + (slopes**2).sum() / 2) / 3
    found = st.paired_ratio(*run(base, other), "joules")
    assert found is not None
    assert found.mean == pytest.approx(math.exp(levels.mean()))
    assert reach(found) == pytest.approx(stats.t.ppf(0.975, 6) * math.sqrt(variance / 3))


def test_a_drift_that_is_not_even_is_left_out_of_the_noise():
    steady, jumpy = noisy(3, 4), noisy(3, 4)
    # From the middle of the second block on everything costs half as much again.
    jumpy = tuple(
        [each.model_copy(update={"joules": each.joules * (1.5 if each.order > 9 else 1)}) for each in network]
        for network in jumpy
    )
    assert reach(st.paired_ratio(*jumpy, "joules")) < 3 * reach(st.paired_ratio(*steady, "joules"))


def test_what_moves_between_blocks_widens_the_interval():
    base, other = noisy(6, 1, noise=0.001)
    shifts = [0.95, 1.04, 1.0, 0.97, 1.05, 1.01]
    other = [each.model_copy(update={"joules": each.joules * shifts[each.block - 1]}) for each in other]
    found = st.paired_ratio(base, other, "joules")
    levels = [
        math.log(st.per_block(other, "joules")[block] / st.per_block(base, "joules")[block])
        for block in range(1, 7)
    ]
    low, high = stats.t.interval(0.95, 5, loc=np.mean(levels), scale=stats.sem(levels))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


def test_blocks_of_one_trial_are_students_as_before():
    base = [trial(block, 5.0, joules, inferences=1) for block, joules in enumerate([9, 1.0, 2.0, 4.0])]
    other = [trial(block, 5.0, joules, inferences=1) for block, joules in enumerate([1, 1.1, 2.1, 4.6])]
    found = st.paired_ratio(base, other, "joules")
    again = st.interval([1.1, 1.05, 1.15], log=True)
    assert found is not None
    assert found.model_dump() == pytest.approx(again.model_dump())


def test_the_pilot_s_variance_stays_that_of_the_interval():
    whole = noisy(20, 3, pilot=5)
    pilot = tuple([each for each in network if each.stage == 1] for network in whole)
    ratio = reach(st.paired_ratio(*whole, "joules")) / reach(st.paired_ratio(*pilot, "joules"))
    assert ratio == pytest.approx(math.sqrt(5 / 20))


def test_a_second_stage_that_scatters_more_is_not_hidden():
    calm, wild = noisy(5, 3, noise=0.001), noisy(15, 4, noise=0.05, first=6, pilot=0)
    both = tuple(a + b for a, b in zip(calm, wild, strict=True))
    assert reach(st.paired_ratio(*both, "joules")) > 5 * reach(st.paired_ratio(*calm, "joules")) / 2


def test_paired_ratio_needs_two_common_blocks():
    base, other = noisy(3, 0)
    only_first = [each for each in other if each.block == 1]
    assert st.paired_ratio(base, only_first, "joules") is None
    unknown = [each.model_copy(update={"joules": None}) for each in other]
    assert st.paired_ratio(base, unknown, "joules") is None
    assert st.paired_ratio(base, unknown, "seconds") is not None


def test_a_trial_without_a_reading_takes_its_block_out_of_the_ratio():
    base, other = noisy(5, 8)
    lame = [other[0].model_copy(update={"joules": None}), *other[1:]]
    rest = [[each for each in network if each.block > 1] for network in (base, other)]
    assert st.paired_ratio(base, lame, "joules") == st.paired_ratio(*rest, "joules")
    assert st.paired_ratio(lame, base, "joules") == st.paired_ratio(*reversed(rest), "joules")
    alone = st.summarize(lame, NO_IDLE, 1).joules_per_inference
    assert alone is not None
    assert alone.trials == 9


def test_lost_second_trials_do_not_make_a_drift_a_difference():
    base, other = noisy(8, 8, noise=0.002, drift=0.0014, ratio=1.0)
    lossy = [
        each.model_copy(update={"joules": None if place % 2 and each.block > 3 else each.joules})
        for place, each in enumerate(other)
    ]
    assert st.paired_ratio(base, lossy, "joules") == st.paired_ratio(
        base, [each for each in lossy if each.block <= 3], "joules"
    )
    halved = [
        each if place % 2 == 0 else each.model_copy(update={"joules": None})
        for place, each in enumerate(other)
    ]
    assert st.paired_ratio(base, halved, "joules") is None


def test_identical_networks_seldom_differ_where_one_loses_trials():
    draw, wrong, runs = random.Random(7), 0, 400
    for seed in range(runs):
        base, other = noisy(9, seed, noise=0.002, drift=0.0014, ratio=1.0)
        lossy = [
            each.model_copy(update={"joules": None if place % 2 and draw.random() < 0.5 else each.joules})
            for place, each in enumerate(other)
        ]
        found = st.paired_ratio(base, lossy, "joules")
        wrong += found is not None and not found.low <= 1 <= found.high
    assert wrong / runs <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("later", [1, 3])
def test_a_pilot_without_scatter_does_not_hide_what_came_after_it(later):
    def flat(ratio: float, **kwargs: int) -> tuple[list[Trial], list[Trial]]:
        return noisy(noise=0.0, seed=0, ratio=ratio, **kwargs)

    pilot, after = flat(1.0, blocks=3), flat(1.3, blocks=later, first=4, pilot=0)
    found = st.paired_ratio(*(one + two for one, two in zip(pilot, after, strict=True)), "joules")
    assert found is not None
    assert found.low < 1 < found.mean < found.high
    assert reach(found) > 0.05


def test_one_later_block_far_off_the_pilot_widens_the_interval():
    pilot, after = noisy(5, 3, noise=0.0005), noisy(1, 4, noise=0.0, ratio=1.0, first=6, pilot=0)
    both = tuple(one + two for one, two in zip(pilot, after, strict=True))
    assert reach(st.paired_ratio(*both, "joules")) > 5 * reach(st.paired_ratio(*pilot, "joules"))


@pytest.mark.parametrize("blocks", [3, 5, 8])
def test_paired_ratio_covers_the_truth(blocks):
    runs = 2000
    found = [st.paired_ratio(*noisy(blocks, seed, drift=0.002), "joules") for seed in range(runs)]
    covered = sum(each is not None and each.low <= 0.9 <= each.high for each in found)
    assert 0.93 <= covered / runs <= 0.97


def test_per_block_leaves_out_what_does_not_count():
    trials = [trial(0, 9, 9), trial(1, 2, 4.0), trial(2, 2, None)]
    assert st.per_block(trials, "joules") == pytest.approx({1: 0.04})
    assert st.per_block(trials, "seconds") == pytest.approx({1: 0.02, 2: 0.02})
    with pytest.raises(ValueError, match="watts"):
        st.per_block(trials, "watts")


def test_per_block_averages_what_a_block_has():
    trials = [trial(1, 1, 1.0), trial(1, 1, 4.0), trial(2, 1, 3.0), trial(2, 1, None)]
    assert st.per_block(trials, "joules") == pytest.approx({1: 0.02, 2: 0.03})

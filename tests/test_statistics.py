from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from greenadapt import statistics as st
from greenadapt.errors import ProfileError
from greenadapt.profile import Idle, Interval, Plan, Stages, Trial


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


NO_IDLE = Idle(before_watts=None, after_watts=None)


def test_interval_is_students():
    values = [1.0, 2.0, 4.0, 4.5]
    found = st.interval(values)
    low, high = stats.t.interval(0.95, 3, loc=sum(values) / 4, scale=stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((2.875, low, high))
    assert found.trials == 4


def test_log_interval_is_of_ratios():
    found = st.interval([1.0, 10.0, 100.0], log=True)
    assert found.mean == pytest.approx(10)
    assert found.low > 0
    assert found.mean / found.low == pytest.approx(found.high / found.mean)


@pytest.mark.parametrize(("values", "log"), [([1.0], False), ([], True), ([1.0, 0.0], True)])
def test_interval_refuses_what_has_none(values, log):
    with pytest.raises(ValueError, match=r"at least two|no logarithm"):
        st.interval(values, log=log)


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


def test_a_network_alone_is_averaged_over_blocks():
    base, _ = noisy(4, 5)
    found = st.summarize(base, NO_IDLE, 1).joules_per_inference
    assert found is not None
    assert found.trials == 8
    assert found.mean == pytest.approx(math.exp(np.mean([math.log(each.joules) for each in base])))
    drifting, _ = noisy(8, 5, drift=0.01)
    blocks = [math.log(joules) for joules in st.per_block(drifting, "joules").values()]
    low, high = stats.t.interval(0.95, 7, loc=np.mean(blocks), scale=stats.sem(blocks))
    found = st.summarize(drifting, NO_IDLE, 1).joules_per_inference
    assert found is not None
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))


PLAN = Plan(trials=10)


def settled(trials: tuple[list[Trial], list[Trial]], plan: Plan = PLAN, measured: bool = True) -> Stages:
    return st.settle(dict(zip("AB", trials, strict=True)), plan, 5.0, measured=measured)


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


def test_per_block_leaves_out_what_does_not_count():
    trials = [trial(0, 9, 9), trial(1, 2, 4.0), trial(2, 2, None)]
    assert st.per_block(trials, "joules") == pytest.approx({1: 0.04})
    assert st.per_block(trials, "seconds") == pytest.approx({1: 0.02, 2: 0.02})
    with pytest.raises(ValueError, match="watts"):
        st.per_block(trials, "watts")


def test_per_block_averages_what_a_block_has():
    trials = [trial(1, 1, 1.0), trial(1, 1, 4.0), trial(2, 1, 3.0), trial(2, 1, None)]
    assert st.per_block(trials, "joules") == pytest.approx({1: 0.02, 2: 0.03})


@pytest.mark.parametrize(("successes", "total"), [(0, 10), (10, 10), (934, 1000), (1, 3)])
def test_wilson(successes, total):
    expected = stats.binomtest(successes, total).proportion_ci(0.95, method="wilson")
    assert st.wilson(successes, total) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 2001])
def test_hits_survive_packing(count):
    draw = random.Random(count)
    hits = [draw.random() < 0.7 for _ in range(count)]
    assert st.unpack_hits(st.pack_hits(hits), count) == hits


def test_hits_are_most_significant_first():
    assert st.pack_hits([True, False, False, False, True]) == "88"


@pytest.mark.parametrize("digits", ["8", "888", "8g", ""])
def test_hits_that_do_not_fit_are_an_error(digits):
    with pytest.raises(ProfileError, match="5 images need 2"):
        st.unpack_hits(digits, 5)


def test_summary_of_known_trials():
    trials = [trial(0, 50, 500), trial(1, 1.0, 20.0), trial(2, 1.0, 20.0), trial(3, 1.0, 20.0)]
    summary = st.summarize(trials, Idle(before_watts=4.0, after_watts=6.0), batch_size=10)
    assert summary.seconds_per_inference.mean == pytest.approx(0.01)
    assert summary.seconds_per_batch.mean == pytest.approx(0.1)
    assert summary.inferences_per_second == pytest.approx(100)
    assert summary.joules_per_inference is not None
    assert summary.joules_per_inference.mean == pytest.approx(0.2)
    assert summary.net_joules_per_inference is not None
    assert summary.net_joules_per_inference.mean == pytest.approx(0.15)


def test_summary_counts_only_what_is_known():
    trials = [trial(0, 5, 5), trial(1, 1.0, 2.0), trial(2, 1.0, None), trial(3, 1.0, 2.0)]
    summary = st.summarize(trials, NO_IDLE, 10)
    assert summary.joules_per_inference is not None
    assert summary.joules_per_inference.trials == 2
    assert summary.seconds_per_inference.trials == 3
    assert summary.net_joules_per_inference is None
    too_few = st.summarize([trial(1, 1.0, 2.0), trial(2, 1.0, None)], NO_IDLE, 10)
    assert too_few.joules_per_inference is None


def test_two_idle_powers_that_differ_widen_the_net_joules():
    trials = [trial(block, 1.0, 20.0 + block / 10) for block in range(5)]
    steady = st.summarize(trials, Idle(before_watts=5.0, after_watts=5.0), 10).net_joules_per_inference
    moved = Idle(before_watts=4.0, after_watts=6.0)
    wide = st.summarize(trials, moved, 10).net_joules_per_inference
    assert steady is not None
    assert wide is not None
    # Half of 2 W over a hundredth of a second.
    assert (wide.mean, wide.low, wide.high) == pytest.approx(
        (steady.mean, steady.low - 0.01, steady.high + 0.01)
    )
    assert st.summarize(trials, moved, 10, idle_doubt=False).net_joules_per_inference == steady
    one = Idle(before_watts=5.0, after_watts=None)
    assert st.summarize(trials, one, 10).net_joules_per_inference == steady


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


def test_net_joules_may_be_negative():
    summary = st.summarize([trial(1, 1, 1), trial(2, 1, 1.1)], Idle(before_watts=9.0, after_watts=None), 10)
    assert summary.net_joules_per_inference is not None
    assert summary.net_joules_per_inference.mean < 0

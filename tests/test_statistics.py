from __future__ import annotations

import math
import random

import pytest
from scipy import stats

from greenadapt import statistics as st
from greenadapt.errors import ProfileError
from greenadapt.profile import Idle, Trial


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


def test_paired_ratio_takes_out_what_both_share():
    drift = {1: 1.0, 2: 1.5, 3: 0.7, 4: 2.0}
    base = {block: 3.0 * factor for block, factor in drift.items()}
    other = {block: 2.4 * factor for block, factor in drift.items()}
    found = st.paired_ratio(base, other)
    assert found is not None
    assert found.mean == pytest.approx(0.8)
    assert found.high - found.low < 1e-9


def test_paired_ratio_needs_two_common_blocks():
    assert st.paired_ratio({1: 1.0, 2: 1.0}, {2: 1.0, 3: 1.0}) is None


def test_paired_ratio_covers_the_truth():
    draw, covered, runs = random.Random(5), 0, 1000
    for _ in range(runs):
        base = {block: draw.lognormvariate(0, 0.02) for block in range(1, 11)}
        other = {block: draw.lognormvariate(math.log(0.9), 0.02) for block in range(1, 11)}
        found = st.paired_ratio(base, other)
        assert found is not None
        covered += found.low <= 0.9 <= found.high
    assert 0.93 <= covered / runs <= 0.97


def test_per_block_leaves_out_what_does_not_count():
    trials = [trial(0, 9, 9), trial(1, 2, 4.0), trial(2, 2, None)]
    assert st.per_block(trials, "joules") == {1: 0.04}
    assert st.per_block(trials, "seconds") == {1: 0.02, 2: 0.02}
    with pytest.raises(ValueError, match="watts"):
        st.per_block(trials, "watts")


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


def test_net_joules_may_be_negative():
    summary = st.summarize([trial(1, 1, 1), trial(2, 1, 1.1)], Idle(before_watts=9.0, after_watts=None), 10)
    assert summary.net_joules_per_inference is not None
    assert summary.net_joules_per_inference.mean < 0

"""What a profile derives from the trials of one network."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from greenadapt import statistics as st
from greenadapt.profile import Idle
from tests.statistics.trials import NO_IDLE, noisy, trial


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


def test_net_joules_may_be_negative():
    summary = st.summarize([trial(1, 1, 1), trial(2, 1, 1.1)], Idle(before_watts=9.0, after_watts=None), 10)
    assert summary.net_joules_per_inference is not None
    assert summary.net_joules_per_inference.mean < 0

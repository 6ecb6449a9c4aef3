"""The interval of an accuracy, and the map of hits."""

from __future__ import annotations

import random

import pytest
from scipy import stats

from greenadapt import statistics as st
from greenadapt.errors import ProfileError


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

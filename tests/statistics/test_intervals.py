"""Student's interval of repeated readings."""

from __future__ import annotations

import pytest
from scipy import stats

from greenadapt import statistics as st


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

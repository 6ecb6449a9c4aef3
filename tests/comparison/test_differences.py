import math
import random

import pytest
from scipy import stats

from greenadapt.comparison.differences import accuracy_difference, mcnemar, unpaired_ratio
from greenadapt.errors import ProfileError
from tests.factories import quality


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (0, 1), (3, 3), (2, 11), (40, 61), (800, 900), (0, 3000)])
def test_mcnemar_is_the_exact_binomial_test(won, lost):
    expected = stats.binomtest(won, won + lost).pvalue if won + lost else 1.0
    assert mcnemar(won, lost) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_the_interval_of_the_difference_covers_the_truth_nineteen_times_in_twenty():
    chance, inside = random.Random(0), 0
    for _ in range(400):
        shared = [chance.random() for _ in range(300)]
        right = [value < 0.80 for value in shared]
        other = [value < 0.74 or chance.random() < 0.1 for value in shared]
        truth = 0.80 - (0.74 + 0.26 * 0.1)
        difference = accuracy_difference(_seen(right), _seen(other))
        inside += difference.low <= truth <= difference.high
    assert 370 <= inside <= 396


def _seen(hits):
    from greenadapt.statistics import pack_hits

    return quality(1, images=len(hits)).model_copy(
        update={"hits": pack_hits(hits), "top1": sum(hits) / len(hits)}
    )


def test_a_damaged_bitmap_is_an_error():
    broken = quality(100).model_copy(update={"hits": "xyz"})
    with pytest.raises(ProfileError):
        accuracy_difference(broken, quality(100))


def test_unpaired_ratio_is_welchs_interval_on_the_logarithms():
    chance = random.Random(1)
    base = [1.0 * math.exp(chance.gauss(0, 0.02)) for _ in range(8)]
    other = [0.8 * math.exp(chance.gauss(0, 0.06)) for _ in range(5)]
    ratio = unpaired_ratio(base, other)
    test = stats.ttest_ind([math.log(x) for x in other], [math.log(x) for x in base], equal_var=False)
    ends = test.confidence_interval(0.95)
    assert ratio.mean == pytest.approx(
        math.exp(math.fsum(map(math.log, other)) / 5 - math.fsum(map(math.log, base)) / 8)
    )
    # Degrees of freedom are rounded down, so the interval may be a little wider, never narrower.
    assert math.log(ratio.low) <= ends.low
    assert math.log(ratio.high) >= ends.high
    assert math.log(ratio.high / ratio.low) < 1.15 * (ends.high - ends.low)


def test_one_trial_gives_no_ratio():
    assert unpaired_ratio([1.0], [1.0, 2.0]) is None


def test_trials_without_any_scatter_give_an_interval_of_no_width():
    ratio = unpaired_ratio([2.0, 2.0], [1.0, 1.0])
    assert (ratio.low, ratio.mean, ratio.high) == pytest.approx((0.5, 0.5, 0.5))

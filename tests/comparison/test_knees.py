"""The batch at the knee is claimed only where the intervals settle it."""

import pytest

from greenadapt.comparison import compare
from greenadapt.profile import Validity
from tests.factories import profile


def knee(costs, **changes):
    made = [
        profile(f"net@b{batch}", seconds=seconds, conditions={"batch_size": batch}, **changes)
        for batch, seconds in costs.items()
    ]
    comparison = compare(*made, across=["batch"])
    (found,) = comparison.knees
    assert found.sentence in str(comparison)
    return found


def test_a_batch_that_may_be_near_leaves_the_knee_open_and_both_are_named():
    found = knee({8: 1.05e-3, 32: 1e-3}, noise=0.05)
    assert found.batch is None
    assert found.per_image is None
    assert found.candidates == (8, 32)
    assert "not settled; batch 8 or 32, by the intervals" in found.sentence
    assert "at batch 32" in found.sentence


def test_a_batch_shown_to_be_near_settles_it_though_larger_ones_are_open():
    found = knee({1: 4e-3, 8: 1.01e-3, 32: 1.0e-3, 128: 1.002e-3}, noise=0.002)
    assert (found.batch, found.candidates) == (8, (8,))
    assert "batch 8 at" in found.sentence


@pytest.mark.parametrize("cost", [4e-3, 1.0e-3])
def test_an_invalid_audit_settles_nothing(cost):
    invalid = Validity(status="invalid", reasons=["replayed"])
    found = knee({1: cost, 8: 1e-3}, validity=invalid)
    assert found.batch is None
    assert found.candidates == ()
    assert "not settled, as the audits of net@b1, net@b8 are invalid" in found.sentence


def test_profiles_of_different_runs_are_held_against_each_other_unpaired():
    found = knee({1: 4e-3, 8: 1e-3}, noise=0.0)
    apart = compare(
        profile("net@b1", seconds=4e-3, conditions={"batch_size": 1}, run_id="one"),
        profile("net@b8", seconds=1e-3, conditions={"batch_size": 8}, run_id="two"),
        across=["batch"],
    ).knees[0]
    assert found.batch == apart.batch == 8

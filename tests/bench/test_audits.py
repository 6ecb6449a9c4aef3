"""The experiments of `audits` at reduced size: the bounds are the bars, loosened to four binomial errors."""

from __future__ import annotations

import math

import pytest

from tests.bench import audits


def error(share: float, count: int) -> float:
    return math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("name", audits.SCENARIOS)
def test_the_interval_covers_the_truth(name):
    found = audits.coverage(audits.SCENARIOS[name], audits=300, seed=1)
    room = 4 * error(0.95, 300)
    assert 0.95 - room <= found.covered <= 0.95 + room
    assert found.blocks > 5
    assert found.within_target > 0.8


def test_an_interval_that_is_too_narrow_would_be_noticed(monkeypatch):
    monkeypatch.setattr(audits, "paired_ratio", _halved(audits.paired_ratio))
    assert audits.coverage(audits.SCENARIOS["independent"], audits=200, seed=1).covered < 0.85


def test_a_minute_of_measuring_reaches_one_per_cent():
    found = audits.halfwidth(audits=200, seed=1)
    assert found.median <= found.percentile_90 <= 0.01
    assert found.mean <= 0.01


def test_one_model_rarely_differs_from_itself():
    found = audits.same_model(audits=200, seed=1)
    assert found.found == 0
    assert found.wrong_sign <= 0.05 + 4 * error(0.05, 200)


def test_a_difference_of_two_per_cent_is_found():
    found = audits.true_difference(audits=100, seed=1)
    assert found.found >= 0.9
    assert found.wrong_sign == 0


def test_every_rival_s_interval_covers_where_the_worst_one_steers():
    shares = audits.worst_of_rivals(audits.SCENARIOS["autocorrelated"], audits=100, seed=1)
    assert min(shares) >= 0.95 - 4 * error(0.95, 100)


def test_the_seed_fixes_the_figures():
    scenario = audits.SCENARIOS["drift"]
    assert audits.coverage(scenario, 5, seed=2) == audits.coverage(scenario, 5, seed=2)


def _halved(paired_ratio):
    def narrow(*arguments):
        found = paired_ratio(*arguments)
        return found.model_copy(
            update={"low": math.sqrt(found.low * found.mean), "high": math.sqrt(found.high * found.mean)}
        )

    return narrow

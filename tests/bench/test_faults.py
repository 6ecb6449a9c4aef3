"""Everything that is injected is caught: no silent zero, no other board's joules."""

from __future__ import annotations

import pytest

from tests.bench import failing, faults
from tests.bench.forms import FORMS, Form, try_form


@pytest.fixture(autouse=True)
def _simulated(simulator):
    """Skips where there is no C compiler."""


@pytest.mark.parametrize("form", FORMS, ids=[form.words for form in FORMS])
def test_a_name_leads_to_the_right_board_or_is_an_error(form: Form):
    found = try_form(form)
    assert found.right, found


def test_a_wrong_board_would_be_seen():
    """The check itself: boards differ in power, so that another board's joules are not taken for these."""
    found = try_form(Form("as if", "0", boards=(1,)))
    assert not found.right
    assert found.joules == pytest.approx([1000.0], rel=0.01)


@pytest.mark.parametrize("part", [faults.disturbances, faults.resets, failing.failing_calls])
def test_what_is_injected_is_said(part):
    rows = part()
    assert rows
    assert not [row for row in rows if not row.met]


@pytest.mark.parametrize("seed", range(1, 6))
def test_nothing_injected_is_valid_whenever_looks_happen(seed):
    assert faults.disturbances(seed)[0].met

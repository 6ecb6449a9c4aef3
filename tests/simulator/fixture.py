"""The fixture `simulator`: one simulated board, everything reset, gone again after the test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator import Simulator, why_not


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with Simulator.start(boards=1) as started:
        yield started

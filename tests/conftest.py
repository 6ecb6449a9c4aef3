"""What every test needs: one thread each, because two workers with two threads on two cores only wait.

Tests that need an NVIDIA GPU skip without one.
"""

from __future__ import annotations

import os
import signal

import pytest
import torch

from tests.simulator.fixture import simulator as simulator


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    # Programs that tests start, too.
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children() -> None:
    """A suite begun in the background of a script ignores Ctrl-C, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a real NVIDIA GPU"))

"""A laptop's counters, and meters that are closed when a test is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from greenadapt.meters.rapl import RaplMeter
from tests.meters.powercap import domain


@pytest.fixture
def laptop(tmp_path: Path) -> Path:
    domain(tmp_path, "intel-rapl:0", "package-0", 100_000)
    domain(tmp_path, "intel-rapl:0:0", "core", 60_000)
    domain(tmp_path, "intel-rapl:0:1", "dram", 30_000)
    domain(tmp_path, "intel-rapl:1", "psys", 900_000)
    domain(tmp_path, "intel-rapl-mmio:0", "package-0", 100_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


@pytest.fixture
def opened() -> Iterator[Callable[..., RaplMeter]]:
    """Opens meters, and closes them when the test is over."""
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(closing(RaplMeter(*arguments, look_seconds=0)))

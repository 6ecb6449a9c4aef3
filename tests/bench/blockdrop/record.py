"""Where and when the figures of a file came about: what `page.about` prints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import timm
import torch

from tests.bench.figures import machine


def recorded(measure: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    """Runs a measurement and puts beside its rows the machine, the time and what it took.

    Args:
        measure: Gives the rows.
    """
    begun, start, load = datetime.now(UTC), time.perf_counter(), os.getloadavg()[0]
    rows = measure()
    return {
        "created": begun.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
        "load_before": round(load, 2),
        "machine": here(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "rows": rows,
    }


def here() -> dict[str, Any]:
    """This machine, and on how many threads torch runs."""
    return {**machine(), "threads": torch.get_num_threads()}

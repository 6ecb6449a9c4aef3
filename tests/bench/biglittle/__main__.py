"""``python -m tests.bench.biglittle``: counts, times, profiles, peak memory; draws the page.

    (nothing)    everything; docs/results/biglittle.json and docs/results/biglittle.md
    --quick      the smaller pair, eager, few rounds; into out/bench-biglittle/
    --draw       no measurement: the page again from the files beside it

Exit code 0 where every bar of the page's first table is met, else 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timm
import torch

from greenadapt.machine import usable_cores
from tests.bench.biglittle import counts, memory, operators, page, speed
from tests.bench.biglittle.networks import SEED
from tests.bench.figures import machine, rounded

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "results"
_THREADS = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for.

    Args:
        arguments: As on the command line.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.biglittle", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="the smaller pair, eager, few rounds")
    parser.add_argument("--draw", action="store_true", help="draw the page from the figures of the last run")
    asked = parser.parse_args(arguments)
    folder = ROOT / "out" / "bench-biglittle" if asked.quick else PUBLISHED
    if not asked.draw:
        results = run(asked.quick)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "biglittle.json").write_text(dumped(results), encoding="utf-8")
    return _draw(folder)


def run(quick: bool) -> dict[str, Any]:
    """The figures, with where and how they came about.

    Args:
        quick: A few cells of each only.
    """
    torch.set_num_threads(min(_THREADS, usable_cores()))
    begun, start, load = datetime.now(UTC), time.perf_counter(), os.getloadavg()[0]
    found = {
        "counts": counts.measured(),
        "memory": memory.measured(quick),
        "operators": operators.measured(quick),
        "speed": speed.measured(quick),
    }
    return {
        "schema": "greenadapt/bench-biglittle",
        "schema_version": 1,
        "quick": quick,
        "seed": SEED,
        "created": begun.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
        "load_before": round(load, 2),
        "machine": {
            **machine(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
        },
        "versions": {"torch": torch.__version__, "timm": timm.__version__},
        **found,
    }


def dumped(results: dict[str, Any]) -> str:
    """The figures as they stand in the file, six digits of each."""
    return json.dumps(rounded(results), indent=1, ensure_ascii=False) + "\n"


def _draw(folder: Path) -> int:
    results = json.loads((folder / "biglittle.json").read_text(encoding="utf-8"))
    (folder / "biglittle.md").write_text(page.drawn(results, folder), encoding="utf-8")
    sys.stdout.write(page.bars(results) + "\n")
    return 1 if any(line[3] != "met" for line in page.lines(results)) else 0


if __name__ == "__main__":
    sys.exit(main())

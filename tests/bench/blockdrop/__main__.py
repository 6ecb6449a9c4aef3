"""``python -m tests.bench.blockdrop``: measures how BlockDrop runs, writes the figures, draws the page.

    (nothing)      docs/results/blockdrop-execution.json and docs/results/blockdrop.md; under twelve minutes
    --quick        a few cells of a small network; into out/bench-blockdrop/
    --draw         no measurement: the page again from the JSON files in docs/results/

Exit code 0 where every bar is met, else 1. Sections that take hours (training) have commands of their own and
leave their JSON file beside the page.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import timm
import torch

from tests.bench.blockdrop import execution, page
from tests.bench.figures import machine

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "results"
SEED = 20240501


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.blockdrop")
    parser.add_argument("--quick", action="store_true", help="a few cells of a small network")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--draw", action="store_true", help="draw the page from the figures of the last run")
    asked = parser.parse_args(arguments)
    folder = ROOT / "out" / "bench-blockdrop" if asked.quick else PUBLISHED
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    if not asked.draw:
        results = measured(asked.quick, asked.seed)
        rows = results["rows"]
        text = json.dumps(results, indent=1, ensure_ascii=False)
        (folder / execution.FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "blockdrop.md").write_text(page.drawn(folder), encoding="utf-8")
    sys.stdout.write(f"{folder / 'blockdrop.md'}\n")
    return 1 if any(row["met"] is False for row in rows) else 0


def measured(quick: bool, seed: int) -> dict[str, Any]:
    """The figures, with where and how they came about."""
    begun, start, load = datetime.now(UTC), time.perf_counter(), os.getloadavg()[0]
    rows = execution.measure(quick, seed)
    return {
        "schema": "greenadapt/bench-blockdrop-execution",
        "quick": quick,
        "seed": seed,
        "created": begun.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
        "load_before": round(load, 2),
        "machine": {
            **machine(),
            "threads": torch.get_num_threads(),
        },
        "torch": torch.__version__,
        "timm": timm.__version__,
        "rows": rows,
    }


if __name__ == "__main__":
    sys.exit(main())

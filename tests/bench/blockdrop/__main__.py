"""``python -m tests.bench.blockdrop``: measures how BlockDrop runs, writes the figures, draws the page.

    (nothing)      docs/results/blockdrop-execution.json, then the whole page; under half an hour
    --quick        a few cells of a small network; its section alone, into out/bench-blockdrop/
    --draw         no measurement: the whole page again from the JSON files in docs/results/

The page is docs/results/blockdrop.md. Sections whose figures take hours (training) have commands of their
own, which leave their JSON file beside the page; ``--draw`` takes it up. Exit code 0 where every bar on the
page is met, else 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.blockdrop import execution, page
from tests.bench.blockdrop.record import recorded

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
    sections = ("execution",) if asked.quick else page.SECTIONS
    folder.mkdir(parents=True, exist_ok=True)
    if not asked.draw:
        text = json.dumps(measured(asked.quick, asked.seed), indent=1, ensure_ascii=False)
        (folder / execution.FILE).write_text(text + "\n", encoding="utf-8")
    (folder / "blockdrop.md").write_text(page.drawn(folder, sections), encoding="utf-8")
    sys.stdout.write(f"{folder / 'blockdrop.md'}\n")
    return 0 if page.all_met(folder, sections) else 1


def measured(quick: bool, seed: int) -> dict[str, Any]:
    """The figures, with where and how they came about."""
    return {
        "schema": "greenadapt/bench-blockdrop-execution",
        "quick": quick,
        "seed": seed,
        **recorded(lambda: execution.measure(quick, seed)),
    }


if __name__ == "__main__":
    sys.exit(main())

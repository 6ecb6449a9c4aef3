"""``python -m tests.bench.energy``: runs the groups, writes the figures, draws the page.

    (nothing)      every group; docs/results/energy.json and docs/results/energy.md
    --quick        a few cells, under a minute; into out/bench-energy/
    --only NAME    these groups only; into out/bench-energy/
    --draw         no measurement: docs/results/energy.md again from docs/results/energy.json

Exit code 0 where every bar is met and both peers are installed, else 1. The published page is always one
whole run: a part of a run, or a quick one, never touches it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.energy import page
from tests.bench.energy.boards import say
from tests.bench.energy.peers import installed
from tests.bench.energy.rows import Row
from tests.bench.figures import machine, rounded

ROOT = Path(__file__).resolve().parents[3]
PUBLISHED = ROOT / "docs" / "results"
GROUPS = ("calls", "bursts", "peers", "periods", "protocol", "cost", "injected")
SEED = 20240501
_PACKAGES = ("greenadapt", "torch", "nvidia-ml-py", "codecarbon", "zeus")
_PEERS = ("zeus", "codecarbon")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for.

    Args:
        arguments: As on the command line.

    Returns:
        The exit code.
    """
    asked = _parser().parse_args(arguments)
    if asked.draw:
        return _draw(PUBLISHED)
    part = asked.quick or asked.only
    folder = ROOT / "out" / "bench-energy" if part else PUBLISHED
    results = run(asked.only or GROUPS, asked.quick, asked.seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy.json").write_text(dumped(results), encoding="utf-8")
    return _draw(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.energy", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a few cells of each group")
    parser.add_argument("--only", action="append", choices=GROUPS, help="this group; may be repeated")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--draw", action="store_true", help="draw the page from the figures of the last run")
    return parser


def run(groups: Sequence[str], quick: bool, seed: int) -> dict[str, Any]:
    """The figures of some groups, with where and how they came about.

    Args:
        groups: Names out of `GROUPS`, in the order in which they run.
        quick: A few cells of each only.
        seed: Of everything drawn.
    """
    begun, start = datetime.now(UTC), time.perf_counter()
    made = {}
    for name in groups:
        module = importlib.import_module(f"tests.bench.energy.{name}")
        since, load = time.perf_counter(), os.getloadavg()[0]
        rows: list[Row] = module.rows(quick, seed)
        seconds = time.perf_counter() - since
        say(f"{name}: {seconds:.0f} s, {sum(row.met is False for row in rows)} bars not met")
        made[name] = {
            "seconds": round(seconds, 1),
            "load_before": round(load, 2),
            "rows": [row.as_json() for row in rows],
        }
    return {
        "schema": "greenadapt/bench-energy",
        "schema_version": 1,
        "quick": quick,
        "seed": seed,
        "created": begun.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start, 1),
        "machine": {
            **machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": {name: installed(name) for name in _PACKAGES},
        "groups": made,
    }


def dumped(results: dict[str, Any]) -> str:
    """The figures as they stand in the file: a line per row, so that two runs can be compared."""
    head = {key: value for key, value in results.items() if key != "groups"}
    lines = json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "groups": {'
    groups = []
    for name, group in results["groups"].items():
        rows = ",\n".join("   " + json.dumps(rounded(row), ensure_ascii=False) for row in group["rows"])
        about = {key: value for key, value in group.items() if key != "rows"}
        groups.append(f'\n  {json.dumps(name)}: {json.dumps(about)[:-1]}, "rows": [\n{rows}\n  ]}}')
    return lines + ",".join(groups) + "\n }\n}\n"


def _draw(folder: Path) -> int:
    results = json.loads((folder / "energy.json").read_text(encoding="utf-8"))
    text = page.drawn(results)
    (folder / "energy.md").write_text(text, encoding="utf-8")
    sys.stdout.write(page.bars(results) + "\n")
    failed = [row for group in results["groups"].values() for row in group["rows"] if row["met"] is False]
    absent = [name for name in _PEERS if results["versions"].get(name) is None]
    for name in absent:
        say(f"{name} is not installed: pip install 'greenadapt[bench]'")
    say(f"{len(failed)} bars not met; {folder / 'energy.md'}")
    return 1 if failed or absent else 0


if __name__ == "__main__":
    sys.exit(main())

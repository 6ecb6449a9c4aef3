"""Where the rest goes: which operators of the retrofit save less time than their share of the MACs.

Of an operator that takes t0 in the base and t in the retrofit, t - t0 F / F0 is what is missing. Over the
base's whole time times (1 - F / F0) these parts add up to 1 - the realised share, exactly.

    python -m tests.bench.biglittle.operators resnet50 1      one network; oneDNN's own log, to stdout
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from greenadapt.tables import Column, markdown_table
from tests.bench.biglittle.counts import cut
from tests.bench.biglittle.networks import PAIRS, images, network

BATCHES = (1, 8)
REORDER = "weights reordered for a convolution"
_PASSES = 8
_SHOWN = 0.005
_ROOT = Path(__file__).resolve().parents[3]
_TITLES = {
    "aten::conv2d": "convolutions",
    "aten::batch_norm": "norms",
    "aten::relu_": "activations",
    "aten::add_": "additions in place",
    "aten::add": "additions",
    "aten::upsample_nearest2d": "upsampling",
    "aten::avg_pool2d": "average pooling",
    "aten::max_pool2d": "max-pooling",
    "aten::linear": "classifier",
}


def measured(quick: bool = False) -> list[dict[str, Any]]:
    """A row per pair and batch size: seconds of each operator, of base and retrofit."""
    rows = []
    for pair in PAIRS[:1] if quick else PAIRS:
        models = [network(name) for name in pair]
        for batch in BATCHES[:1] if quick else BATCHES:
            times = _profiled(models, images(batch))
            for name, found in zip(pair, times, strict=True):
                found[REORDER] = reordering(name, batch)
                found["aten::conv2d"] -= found[REORDER]
            rows.append({"pair": pair, "batch": batch, "saved": cut(*pair), "seconds": times})
    return rows


def _profiled(models: list[nn.Module], x: Tensor) -> list[dict[str, float]]:
    passes: list[list[dict[str, float]]] = [[], []]
    with torch.no_grad():
        for model in models:
            model(x)
        for i in range(_PASSES):
            for side in (0, 1) if i % 2 else (1, 0):
                with profile(activities=[ProfilerActivity.CPU]) as seen:
                    models[side](x)
                passes[side].append(_by_operator(seen))
    return [{name: median(one.get(name, 0.0) for one in some) for name in _names(some)} for some in passes]


def _by_operator(seen: Any) -> dict[str, float]:
    times: dict[str, float] = defaultdict(float)
    for event in seen.events():
        if event.cpu_parent is None and event.name.startswith("aten::"):
            times[event.name] += event.cpu_time_total / 1e6
    return dict(times)


def _names(passes: list[dict[str, float]]) -> list[str]:
    return sorted({name for one in passes for name in one})


def reordering(name: str, batch: int) -> float:
    """Seconds of a forward pass in which oneDNN brings weights into its own order.

    It reports that only on its standard output, so that it runs in a process of its own.

    Args:
        name: The network.
        batch: Images.
    """
    command = [sys.executable, "-m", "tests.bench.biglittle.operators", name, str(batch)]
    told = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True).stdout
    fields = [line.split(",") for line in told.splitlines() if ",exec," in line]
    return sum(float(field[-1]) for field in fields if "reorder" in field) / 1e3 / _PASSES


def _log(name: str, batch: int) -> None:
    model, x = network(name), images(batch)
    with torch.no_grad():
        model(x)
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON):
            for _ in range(_PASSES):
                model(x)


def section(results: list[dict[str, Any]]) -> str:
    """The figures as a section of Markdown."""
    parts = [
        "## Where the rest goes",
        "A profile of the forward pass, eager (medians over passes; profiling itself costs some time). "
        "*missing* is the operator's part of what the retrofit does not realise: its time, less its time in "
        "the base times the share of MACs that is left, over all that there was to save. The column adds up "
        "to what is missing in all. Before each convolution oneDNN brings the weights into an order of its "
        "own; that costs as much as there are weights, of which a Big-Little network has about as many as "
        "its base, however few MACs they do. A compiled network with constant weights does it once.",
    ]
    return "\n\n".join([*parts, *(_table(row) for row in results)])


def _table(row: dict[str, Any]) -> str:
    base, other = row["seconds"]
    total, left = sum(base.values()), 1 - row["saved"]
    missing = {n: other.get(n, 0) - left * base.get(n, 0) for n in {**base, **other}}
    parts = {name: time / (total * row["saved"]) for name, time in missing.items()}
    shown = sorted((n for n in parts if abs(parts[n]) >= _SHOWN), key=lambda n: -parts[n])
    lines = [_line(_TITLES.get(n, n), base.get(n, 0), other.get(n, 0), parts[n]) for n in shown]
    rest = [n for n in parts if n not in shown]
    sums = [sum(side.get(n, 0) for n in rest) for side in (base, other)]
    lines += [
        _line("everything else", *sums, sum(parts[n] for n in rest)),
        _line("all", total, sum(other.values()), sum(parts.values())),
    ]
    columns = [Column("operator", "left"), Column("base, ms"), Column("retrofit, ms"), Column("missing")]
    title = f"### `{row['pair'][1]}`, batch {row['batch']}"
    return f"{title}\n\n{markdown_table(columns, lines)}"


def _line(title: str, base: float, other: float, part: float) -> list[str]:
    return [title, f"{base * 1e3:.1f}", f"{other * 1e3:.1f}", f"{part:+.2f}"]


if __name__ == "__main__":
    _log(sys.argv[1], int(sys.argv[2]))

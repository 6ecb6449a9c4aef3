"""Peak of live tensor memory, base against retrofit: every allocation of the allocator, added up in order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from greenadapt.tables import Column, markdown_table
from tests.bench.biglittle.networks import PAIRS, images, network

BATCH = 8


def peak_bytes(call: Callable[[], Any]) -> int:
    """Most that was allocated at one time during a call, beyond what was there before it.

    What oneDNN takes for itself, scratch space and packed weights, does not pass through torch's allocator
    and is not in it.

    Args:
        call: Called once; what it returns is let go.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    kineto: Any = seen.profiler
    changes = [e for e in kineto.kineto_results.events() if e.name() == "[memory]"]
    live = most = 0
    for change in sorted(changes, key=lambda e: e.start_ns()):
        live += change.nbytes()
        most = max(most, live)
    if not changes:
        raise RuntimeError("the profiler recorded no allocations")
    return most


def measured(quick: bool = False) -> list[dict[str, Any]]:
    """A row per pair and kind of pass: bytes of base and retrofit, parameters and images apart."""
    rows = []
    for pair in PAIRS[:1] if quick else PAIRS:
        for kind in ("inference",) if quick else ("inference", "training step"):
            found = [_peak(network(name), images(BATCH), kind) for name in pair]
            rows.append({"base": pair[0], "retrofit": pair[1], "kind": kind, "bytes": found})
    return rows


def _peak(model: nn.Module, x: Tensor, kind: str) -> int:
    def infer() -> None:
        with torch.no_grad():
            model(x)

    def train() -> None:
        model(x).square().mean().backward()

    if kind == "inference":
        return peak_bytes(infer)
    model.train()
    return peak_bytes(train)


def bars(results: list[dict[str, Any]]) -> list[list[str]]:
    """Lines of the table of bars: figure, bar, found, whether it is met."""
    lines = []
    for row in results:
        base, other = row["bytes"]
        found = f"{other / 1e6:.0f} MB against {base / 1e6:.0f} MB ({other / base - 1:+.0%})"
        lines.append([f"peak memory, `{row['retrofit']}`, {row['kind']}", "reported", found, "met"])
    return lines


def section(results: list[dict[str, Any]]) -> str:
    """The figures as a section of Markdown."""
    columns = [Column("retrofit", "left"), Column("pass", "left"), Column("base, MB"), Column("retrofit, MB")]
    lines = []
    for row in results:
        base, other = row["bytes"]
        cells = [f"{base / 1e6:.1f}", f"{other / 1e6:.1f}", f"{other / base - 1:+.1%}"]
        lines.append([f"`{row['retrofit']}`", row["kind"], *cells])
    return "\n\n".join(
        [
            "## Peak memory",
            f"The most tensor memory alive at one time, batch {BATCH}, eager, float32: every allocation and "
            "release of torch's allocator added up in the order in which they happened. Parameters and "
            "images are there before and are not counted; the gradients of a training step are.",
            markdown_table([*columns, Column("difference")], lines),
        ]
    )

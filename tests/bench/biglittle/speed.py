"""How much of the saved multiply-adds is saved time: (1 - t / t0) / (1 - F / F0).

    round:   A B B A      A the base, B the retrofit, some calls each
             median of A's calls, median of B's; their ratio; the share of this round
    figure:  mean of the rounds' shares, and its 95 % interval over the rounds

Both networks are in the same process and get the same treatment: as timm and greenadapt build them ("eager"),
or compiled with their weights as constants ("compiled", which folds norms and packs weights once), which is
how a network is deployed on a CPU.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import nn

from greenadapt.statistics.intervals import interval
from greenadapt.tables import Column, markdown_table
from tests.bench.biglittle.counts import cut
from tests.bench.biglittle.networks import CONVERTED, PAIRS, images, network

BARS = {"bl_resnet50": 0.70, "bl_resnet101": 0.85}
BATCHES = (1, 8)
MODES = ("eager", "compiled")
_CALLS = {1: 3, 8: 1}
_ROUNDS = {1: 24, 8: 12}
_WARM_UP = 3


def measured(quick: bool = False) -> list[dict[str, Any]]:
    """A row per pair, batch size and mode.

    Args:
        quick: The smaller pair in eager mode and few rounds.
    """
    rows = []
    for mode in MODES[:1] if quick else MODES:
        for base, retrofit in PAIRS[:1] if quick else PAIRS:
            rows += _pair(base, retrofit, retrofit, mode, quick)
    if not quick:
        rows += _pair("resnet50", CONVERTED, "bl_resnet50", "eager", quick)
    return rows


def _pair(base: str, retrofit: str, counted: str, mode: str, quick: bool) -> list[dict[str, Any]]:
    models = [network(base), network(retrofit)]
    saved = cut(base, counted)
    rows = []
    for batch in BATCHES:
        about = {"base": base, "retrofit": retrofit, "batch": batch, "mode": mode, "saved": saved}
        rows.append(about | compared(models, batch, mode, 3 if quick else _ROUNDS[batch]))
        shares = [(1 - ratio) / saved for ratio in rows[-1]["ratios"]]
        sys.stderr.write(f"{retrofit}, batch {batch}, {mode}: {sum(shares) / len(shares):.2f}\n")
    return rows


def compared(models: list[nn.Module], batch: int, mode: str, rounds: int) -> dict[str, Any]:
    """Times of two networks, interleaved.

    Args:
        models: Base and retrofit.
        batch: Images per call.
        mode: "eager" or "compiled".
        rounds: At least two.

    Returns:
        ``seconds``, per call, the median over rounds, of both; ``ratios``, the retrofit's over the base's,
        a round each.
    """
    x = images(batch)
    with torch.no_grad(), torch._inductor.config.patch(freezing=True):
        runs: list[Callable[..., Any]] = list(models)
        if mode == "compiled":
            torch._dynamo.reset()
            runs = [torch.compile(model, dynamic=False) for model in models]
        for _ in range(_WARM_UP):
            for run in runs:
                run(x)
        pairs = [_round(partial(runs[0], x), partial(runs[1], x), _CALLS[batch]) for _ in range(rounds)]
    return {
        "seconds": [median(side) for side in zip(*pairs, strict=True)],
        "ratios": [other / base for base, other in pairs],
    }


def _round(base: Callable[[], Any], other: Callable[[], Any], calls: int) -> tuple[float, float]:
    times: dict[Callable[[], Any], list[float]] = {base: [], other: []}
    for run in (base, other, other, base):
        for _ in range(calls):
            start = time.perf_counter()
            run()
            times[run].append(time.perf_counter() - start)
    return median(times[base]), median(times[other])


def share(row: dict[str, Any]) -> tuple[float, float, float]:
    """Realised share of a row: mean, and the ends of its 95 % interval over the rounds."""
    found = interval([(1 - ratio) / row["saved"] for ratio in row["ratios"]])
    return found.mean, found.low, found.high


def bars(results: list[dict[str, Any]]) -> list[list[str]]:
    """Lines of the table of bars: figure, bar, found, whether it is met."""
    lines = []
    for row in results:
        if row["retrofit"] not in BARS:
            continue
        bar, (mean, low, high) = BARS[row["retrofit"]], share(row)
        what = f"realised share, `{row['retrofit']}`, batch {row['batch']}, {row['mode']}"
        met = "met" if mean >= bar else "**NOT met**"
        lines.append([what, f">= {bar:.2f}", f"{mean:.2f} ({low:.2f} to {high:.2f})", met])
    return lines


def section(results: list[dict[str, Any]]) -> str:
    """The figures as a section of Markdown."""
    heads = ("retrofit", "mode", "batch", "base, ms", "retrofit, ms", "MACs saved", "time saved", "share")
    columns = [Column(head, "left" if i < 2 else "right") for i, head in enumerate((*heads, "95 % interval"))]
    lines = []
    for row in results:
        (mean, low, high), (t0, t) = share(row), row["seconds"]
        name = f"`{row['retrofit']}`" if row["retrofit"] in BARS else row["retrofit"]
        times = [f"{t0 * 1e3:.1f}", f"{t * 1e3:.1f}", f"{row['saved']:.1%}", f"{mean * row['saved']:.1%}"]
        lines.append(
            [name, row["mode"], str(row["batch"]), *times, f"{mean:.2f}", f"{low:.2f} to {high:.2f}"]
        )
    return "\n\n".join(
        [
            "## How much of the saving is real",
            "Time of a forward pass of both networks in one process, interleaved base, retrofit, retrofit, "
            "base; float32, channels_last on both sides, random weights. Per round the medians of both and "
            "their ratio; the interval is Student's over the rounds. *eager* is each network as it is built; "
            "*compiled* is `torch.compile` with `freezing`, which folds the norms and packs the weights "
            "once, on both sides. *resnet50 converted* is `greenadapt.wrap` at the native depth.",
            markdown_table(columns, lines),
        ]
    )

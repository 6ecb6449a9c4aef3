"""How much of the saved multiply-adds is saved time: (1 - t / t0) / (1 - F / F0).

    round:   A B B A      A the base, B the retrofit, some calls each
             median of A's calls, median of B's; their ratio; the share of this round
    figure:  mean of the rounds' shares, and its 95 % interval over the rounds

Both networks are in the same process and get the same treatment:

    eager         as timm and greenadapt build them
    compiled      torch.compile with the weights as constants: norms are folded, weights packed once
    not frozen    torch.compile as it is by default: weights may still change, so neither is done

The bars are for the first two. A network that is deployed on a CPU does not train any more, so its weights
are constants; the third mode is what a compiled network does while it still may be trained, and is timed
beside them on the smaller pair.
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
EAGER, FROZEN, FREE = MODES = ("eager", "compiled", "not frozen")
JUDGED = (EAGER, FROZEN)
"""Modes that the bars are for."""
_CALLS = {1: 3, 8: 1}
_ROUNDS = {1: 24, 8: 12}
_WARM_UP = 3


def measured(quick: bool = False) -> list[dict[str, Any]]:
    """A row per pair, batch size and mode.

    Args:
        quick: The smaller pair in eager mode and few rounds.
    """
    rows = []
    for mode in (EAGER,) if quick else JUDGED:
        for base, retrofit in PAIRS[:1] if quick else PAIRS:
            rows += _pair(base, retrofit, retrofit, mode, quick)
    if not quick:
        rows += _pair(*PAIRS[0], PAIRS[0][1], FREE, quick)
        rows += _pair("resnet50", CONVERTED, "bl_resnet50", EAGER, quick)
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
        mode: One of `MODES`.
        rounds: At least two.

    Returns:
        ``seconds``, per call, the median over rounds, of both; ``ratios``, the retrofit's over the base's,
        a round each.
    """
    x = images(batch)
    with torch.no_grad(), torch._inductor.config.patch(freezing=mode == FROZEN):
        runs: list[Callable[..., Any]] = list(models)
        if mode != EAGER:
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
        if row["retrofit"] not in BARS or row["mode"] not in JUDGED:
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
            "*compiled* is `torch.compile` with `freezing`, which takes the weights for constants, and so "
            "folds the norms and packs the weights once; *not frozen* is `torch.compile` as it is by "
            "default. *resnet50 converted* is `greenadapt.wrap` at the native depth.",
            "The bars are for *eager* and *compiled*: a network in use on a CPU is not trained any more, its "
            "weights are constants, and whoever compiles it there freezes them. *not frozen* counts for no "
            f"bar; {_not_frozen(results)}",
            markdown_table(columns, lines),
        ]
    )


def _not_frozen(results: list[dict[str, Any]]) -> str:
    rows = [row for row in results if row["mode"] == FREE]
    if not rows:
        return "it was not timed in this run."
    found = (f"{share(row)[0]:.2f} at batch {row['batch']}" for row in rows)
    return f"of its saving `{rows[0]['retrofit']}` realises {', '.join(found)} that way."

"""Whether dropped blocks save time: realised share, the ways to run side by side, overhead and memory.

share       1 - t / t0 over 1 - F / F0: the part of the saving in FLOPs that is one in time, policy included
ways        automatic, grouped, gathered and masked on the same batch, the slowest to the fastest
all keep    a policy that keeps every block, its own network left out, against the plain network
memory      the most bytes of tensors held at once
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from greenadapt.tables import Column, markdown_table
from tests.bench.blockdrop.timing import (
    Subject,
    best_portion,
    images,
    in_portions,
    interval,
    peak_bytes,
    policy_mix,
    ratio,
    rounds,
)
from tests.bench.energy.rows import Row

FILE = "blockdrop-execution.json"
BATCH = 32
_MIXES = (
    # name, batch, paths, bar of ResNet-50
    ("batch 1", 1, 1, 0.85),
    ("batch 32, 8 paths", BATCH, 8, 0.90),
    ("batch 32, 32 paths", BATCH, BATCH, 0.60),
)
_WAYS = ("auto", "grouped", "gathered")
_OTHERS = ("vit_small_patch16_224", "tf_efficientnet_lite0")
_TEXT = """\
## Savings on the clock

Realised share is (1 - t/t0) / (1 - F/F0): time saved over FLOPs saved, the policy's network counted in both.
Half of the droppable blocks are kept, at random, so that every mix has the same mean; the policy's network
runs, and its answer is replaced by the mix. Both sides are channels_last, fp32, 224 px, with random weights.
FLOPs are 2 x multiply-adds. Times are medians over palindromes of passes (plain, ours, ours, plain).
Round brackets hold the lowest and the highest of n mixes, square ones a 95 % interval of the median over n
rounds (the extremes of few rounds); bars are judged on the median.

A share above 1 does not come from dropped blocks alone: a part of a batch fits the cache where the whole does
not, and whoever runs a batch in parts gains by that too. So the plain network stands here a second time, run
in the portions that suit it best. That share is the one that dropping blocks can claim; the bars were set
against the plain network at the same batch, and no bar is judged by it. Memory is compared with the plain
network on the whole batch, too; the policy sees all of it at once, and what it holds then can exceed what any
way of running the blocks holds, so each way stands without it as well. The ways are compared on one network
and two mixes: that automatic execution is never slower than the best elsewhere is not measured."""


def measure(quick: bool, seed: int) -> list[dict[str, Any]]:
    """The rows of this section.

    Args:
        quick: A small network, one mix and one round of each.
        seed: Of weights, images and mixes.
    """
    torch.set_num_threads(min(2, torch.get_num_threads()))
    main = Subject("resnet18" if quick else "resnet50", seed)
    rows = [
        *_shares(main, quick, seed, mixes=4, passes=4, bars=not quick),
        *_ways(main, quick, seed),
        *_all_keep(main, quick, seed),
        *_memory(main, quick, seed),
    ]
    for name in () if quick else _OTHERS:
        rows += _shares(Subject(name, seed), quick, seed, mixes=2, passes=3, bars=False)
    return [row.as_json() for row in rows]


def _shares(subject: Subject, quick: bool, seed: int, mixes: int, passes: int, bars: bool) -> list[Row]:
    rows = []
    for name, batch, paths, bar in _MIXES:
        batch, paths = (min(batch, 4), min(paths, 4)) if quick else (batch, paths)
        x, found = images(batch, seed), []
        portion = best_portion(subject.plain, x) if batch > 1 else 1
        for mix in range(1 if quick else mixes * (4 if batch == 1 else 1)):
            table = policy_mix(batch, subject.blocks, paths, seed + mix)
            model = subject.tell(table)
            count = 1 if quick else passes * (5 if batch == 1 else 1)
            calls = {"plain": lambda x=x: subject.plain(x), "ours": lambda x=x, model=model: model(x)}
            if batch > 1:
                calls["portions"] = lambda x=x, n=portion: in_portions(subject.plain, x, n)
            seconds, work = rounds(calls, count), subject.flops_ratio(table)
            shares = {to: _share(ratio(seconds, "ours", to), work) for to in calls if to != "ours"}
            found.append({**shares, "plain": {**shares["plain"], "seconds": _written(seconds)}})
        rows.append(_share_row(subject, name, bar if bars else None, [one["plain"] for one in found]))
        if batch > 1:
            condition = f"{name}; against the plain network in portions of {portion}"
            rows.append(_share_row(subject, condition, None, [one["portions"] for one in found]))
    return rows


def _written(seconds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Rounds to the microsecond, two passes of each call in each."""
    return {name: [round(one, 6) for one in found] for name, found in seconds.items()}


def _share(time: float, work: float) -> dict[str, Any]:
    return {"t": time, "F": work, "share": (1 - time) / (1 - work) if work < 1 else None}


def _share_row(subject: Subject, name: str, bar: float | None, found: Sequence[Mapping[str, Any]]) -> Row:
    shares = [one["share"] for one in found if one["share"] is not None]
    time, work = (statistics.median(one[key] for one in found) for key in ("t", "F"))
    share = statistics.median(shares) if shares else None
    shown = "no FLOPs saved" if share is None else f"{share:.2f} ({min(shares):.2f} to {max(shares):.2f})"
    note = f"t/t0 {time:.3f}, F/F0 {work:.3f}"
    if time >= 1:
        note += "; does not pay"
    return Row(
        name=f"realised share, {subject.name}",
        condition=name,
        bar="" if bar is None else f">= {bar:.2f}",
        shown=shown,
        met=None if bar is None else share is not None and share >= bar,
        n=len(found),
        note=note,
        values={"share": share, "time": time, "flops": work},
        raw=list(found),
    )


def _ways(subject: Subject, quick: bool, seed: int) -> list[Row]:
    rows = []
    for name, batch, paths, _ in _MIXES[1:]:
        batch, paths = (4, min(paths, 4)) if quick else (batch, paths)
        x, table = images(batch, seed), policy_mix(batch, subject.blocks, paths, seed)
        calls: dict[str, Callable[[], Any]] = {"plain": lambda x=x: subject.plain(x)}
        for way in (*_WAYS, "masked"):
            calls[way] = lambda x=x, t=table, way=way: subject.tell(t, execution=way)(x)
        # Masked is never the best, and it is dear: a round shows that.
        masked = rounds({way: calls[way] for way in ("plain", "masked")}, 1)
        ratios = {"masked": ratio(masked, "masked")}
        seconds = rounds({way: call for way, call in calls.items() if way != "masked"}, 1 if quick else 8)
        ratios |= {way: ratio(seconds, way) for way in _WAYS}
        best = min(("grouped", "gathered"), key=ratios.__getitem__)
        excess = max(ratio(seconds, "auto", best), ratios["auto"] / ratios["masked"]) - 1
        low, high = interval(seconds, "auto", best)
        rows.append(
            Row(
                name="automatic over the best of the others",
                condition=name,
                bar="<= +5 %",
                shown=f"{100 * excess:+.1f} % [{100 * (low - 1):+.1f}, {100 * (high - 1):+.1f}]",
                met=excess <= 0.05,
                n=len(seconds["auto"]),
                note=", ".join(f"{way} {value:.3f}" for way, value in ratios.items()) + " of plain",
                values=ratios,
                raw=[_written(masked), _written(seconds)],
            )
        )
    return rows


def _all_keep(subject: Subject, quick: bool, seed: int) -> list[Row]:
    rows = []
    for batch in (1, 4 if quick else BATCH):
        x, table = images(batch, seed), torch.ones(batch, subject.blocks, dtype=torch.bool)
        model = subject.tell(table, with_policy=False)
        # So many that one per cent rises out of the clock's noise.
        count = 2 if quick else 240 if batch == 1 else 24
        calls = {
            "plain": lambda x=x: subject.plain(x),
            "ours": lambda x=x, model=model: model(x),
            "twin": lambda x=x: subject.twin(x),
        }
        seconds = rounds(calls, count)
        rows += [_excess_row(seconds, of, batch) for of in ("ours", "twin")]
        rows[-2] = replace(rows[-2], raw=[_written(seconds)])
    return rows


def _excess_row(seconds: Mapping[str, Sequence[float]], of: str, batch: int) -> Row:
    excess, (low, high) = ratio(seconds, of) - 1, interval(seconds, of)
    ours = of == "ours"
    return Row(
        name="time with all blocks kept, policy left out" if ours else "the plain network beside itself",
        condition=f"batch {batch}",
        bar="<= +1 %" if ours else "",
        shown=f"{100 * excess:+.2f} % [{100 * (low - 1):+.2f}, {100 * (high - 1):+.2f}]",
        met=excess <= 0.01 if ours else None,
        n=len(seconds[of]),
        note="" if ours else "what the clock alone makes of no difference",
        values={"excess": excess, "low": low - 1, "high": high - 1},
    )


def _memory(subject: Subject, quick: bool, seed: int) -> list[Row]:
    batch, rows = 4 if quick else BATCH, []
    x = images(batch, seed)
    plain = peak_bytes(lambda: subject.plain(x))
    for paths in (min(8, batch), batch):
        table = policy_mix(batch, subject.blocks, paths, seed)
        # The policy sees the whole batch at once, and may hold more than any way of running the blocks.
        for way, with_policy in ((way, asked) for asked in (True, False) for way in _WAYS):
            model = subject.tell(table, with_policy, way)
            with torch.inference_mode():
                model(x)
            most = peak_bytes(lambda model=model: model(x))
            barred = way == "grouped" and with_policy
            rows.append(
                Row(
                    name=f"peak memory, {way}" + ("" if with_policy else ", policy left out"),
                    condition=f"batch {batch}, {paths} paths",
                    bar="<= 1.10 x plain" if barred else "",
                    shown=f"{most / plain:.2f} x",
                    met=most / plain <= 1.1 if barred else None,
                    n=1,
                    note=f"plain {plain / 2**20:,.0f} MiB of tensors",
                    values={"ratio": most / plain, "bytes": most, "plain_bytes": plain},
                )
            )
    return rows


def drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    """The section of the page."""
    heads = ("figure", "condition", "bar", "found", "met", "n", "note")
    lines = [
        [row["name"], row["condition"], row["bar"], row["shown"], _met(row), str(row["n"]), row["note"]]
        for row in rows
    ]
    return f"{_TEXT}\n\n{markdown_table([Column(head, 'left') for head in heads], lines)}"


def _met(row: Mapping[str, Any]) -> str:
    return "" if row["met"] is None else "met" if row["met"] else "**NOT met**"

"""`greenadapt.window` around 1,000 arbitrary bursts: does the truth lie inside the bound, and how wide is it?

    watts      before      | a burst: steady, square, ramp, steps |  after: rest, decay, steady work, a wave
    window                 [                W                     ]
    oracle                 [          true joules                 ]

Several boards and threads of one process at once; each board has one thread, since it has one counter.
Lengths are drawn from one period of the counter to sixty (4 s at most), so that some must be refused as
too short.
"""

from __future__ import annotations

import math
import random
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Any

import greenadapt
from tests.bench.energy import boards
from tests.bench.energy.calls import hash_of
from tests.bench.energy.peers import OURS, ZEUS, tools, with_zeus, zeus_monitor
from tests.bench.energy.rows import Row, errors_shown, percent, percentile

PERIODS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_WINDOWS = 1000
_TASKS = 24
_BOARDS = 3
_LONGEST_SECONDS, _MOST_PERIODS = 4.0, 60.0
_SHARE = 0.99
Trace = list[tuple[float, float]]


def rows(quick: bool, seed: int) -> list[Row]:
    """Coverage of the bound, its width, and how many were refused.

    Args:
        quick: 24 short windows only.
        seed: Of everything drawn.
    """
    tasks, windows, longest = (4, 24, 0.5) if quick else (_TASKS, _WINDOWS, _LONGEST_SECONDS)
    each = math.ceil(windows / tasks)
    shares = [min(each, windows - each * number) for number in range(tasks)]
    wanted = [(share, longest, hash_of(seed, 2, number)) for number, share in enumerate(shares) if share > 0]
    found = boards.run_all("bursts", measured, wanted, quick)
    return table([burst for result in found for burst in result])


def measured(count: int, longest_seconds: float, seed: int) -> list[dict[str, Any]]:
    """That many windows on the boards of this process, a thread to each board."""
    draw = random.Random(seed)
    periods = [draw.choice(PERIODS) for _ in range(_BOARDS)]
    made = boards.fresh(periods, draw)
    shares = [len(range(number, count, _BOARDS)) for number in range(_BOARDS)]
    found: list[list[dict[str, Any]]] = [[] for _ in shares]

    def work(index: int) -> None:
        chance = random.Random(hash_of(seed, index))
        zeus = zeus_monitor(index)
        for _ in range(shares[index]):
            found[index].append(_burst(made[index], periods[index], longest_seconds, chance, zeus))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(_BOARDS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [burst for part in found for burst in part]


def _burst(
    board: Any, period: float, longest_seconds: float, chance: random.Random, zeus: Any
) -> dict[str, Any]:
    most = max(1.0, min(_MOST_PERIODS, longest_seconds / period))
    length = period * math.exp(chance.uniform(0, math.log(most)))
    board.power(chance.uniform(40, 90))
    time.sleep(chance.uniform(0, period))
    kind, burst = _trace(chance, length)
    after, tail = _tail(chance)
    with greenadapt.window(meter=f"nvml:{board.index}", device="cpu") as window:
        start = time.perf_counter()
        # The window begins right after a tick; the burst, and Zeus, at any phase of the counter.
        time.sleep(chance.uniform(0, period))
        with with_zeus(zeus) as by_zeus:
            board.trace([*burst, *((length + seconds, watts) for seconds, watts in tail)])
            time.sleep(length)
        end = time.perf_counter()
    joules_by_zeus, edges = by_zeus()
    # The window tells which time it answers for. It must be the block's, but for what the machine took.
    began = window.started if window.started is not None else start
    ended = began + (window.seconds if window.seconds is not None else end - start)
    return {
        "period": period,
        "seconds": ended - began,
        "beyond": max(0.0, start - began) + max(0.0, ended - end),
        "kind": kind,
        "after": after,
        "truth": board.joules(began, ended),
        "joules": window.joules,
        "bound": window.bound,
        "why_not": window.why_not if window.joules is None else None,
        "zeus": None if joules_by_zeus is None else joules_by_zeus / board.joules(*edges) - 1,
    }


def _trace(chance: random.Random, length: float) -> tuple[str, Trace]:
    """Power over a burst as (seconds from its start, watts from then on)."""
    kind = chance.choice(("steady", "square", "ramp", "steps"))
    low, high = chance.uniform(60, 150), chance.uniform(200, 450)
    if kind == "steady":
        return kind, [(0.0, high)]
    if kind == "square":
        return kind, _square(chance.uniform(0.003, 0.3), low, high, 0.0, length)
    if kind == "ramp":
        pieces = max(2, min(200, int(length / 0.005)))
        return kind, [(length * i / pieces, low + (high - low) * i / pieces) for i in range(pieces)]
    moments = sorted(chance.uniform(0, length) for _ in range(chance.randint(1, 40)))
    return kind, [(0.0, low), *((moment, chance.uniform(60, 450)) for moment in moments)]


def _tail(chance: random.Random) -> tuple[str, Trace]:
    """What the board does after the block: mostly it rests."""
    kind = chance.choices(("rest", "decay", "work", "wave"), (5, 2, 2, 1))[0]
    rest = chance.uniform(40, 90)
    if kind == "rest":
        return kind, [(0.0, rest)]
    if kind == "decay":
        return kind, [(0.01 * i, rest + 150 * math.exp(-0.01 * i / 0.1)) for i in range(60)]
    if kind == "work":
        return kind, [(0.0, chance.uniform(200, 450))]
    return kind, _square(chance.uniform(0.01, 0.2), rest, 300.0, 0.0, 2.0)


def _square(period: float, low: float, high: float, start: float, length: float) -> Trace:
    edges = int(2 * length / period) + 1
    return [(start + i * period / 2, high if i % 2 == 0 else low) for i in range(edges)]


def table(bursts: Sequence[dict[str, Any]]) -> list[Row]:
    """The rows of some bursts."""
    given = [burst for burst in bursts if burst["joules"] is not None]
    bounded = [burst for burst in given if burst["bound"] is not None and burst["joules"] > 0]
    inside = [burst for burst in bounded if abs(burst["joules"] - burst["truth"]) <= burst["bound"]]
    widths = [
        burst["bound"] / (2 * burst["period"] / burst["seconds"] * burst["joules"]) for burst in bounded
    ]
    name = "`window` around arbitrary bursts"
    share = len(inside) / len(given) if given else None
    width = statistics.median(widths) if widths else None
    ours, values = errors_shown([burst["joules"] / burst["truth"] - 1 for burst in given])
    return [
        Row(
            name,
            "truth inside the stated bound",
            f">= {_SHARE * 100:g} %",
            percent(share) if share is not None else "no figure",
            share is not None and share >= _SHARE,
            len(given),
            _misses(given, inside),
            {"share": share},
            [_short(burst) for burst in bursts],
        ),
        Row(
            name,
            "median bound / (2 U/W of the energy)",
            "<= 1",
            f"{width:.3f}" if width is not None else "no figure",
            width is not None and width <= 1,
            len(given),
            "",
            {"median": width},
        ),
        _refusals(name, bursts),
        Row(tools()[OURS], "arbitrary bursts", "", ours, None, len(given), "", values),
        *_zeus(given),
    ]


def _misses(given: Sequence[dict[str, Any]], inside: Sequence[dict[str, Any]]) -> str:
    missed = [burst for burst in given if burst not in inside]
    kinds = sorted({f"{burst['kind']}, then {burst['after']}" for burst in missed})
    text = f"{len(missed)} outside: {'; '.join(kinds)}" if missed else "none outside"
    beyond = [burst["beyond"] for burst in given]
    if beyond:
        most = percentile(beyond, 0.9) * 1000
        text += f"; nine in ten windows reach at most {most:.2f} ms beyond their block"
    return text


def _refusals(name: str, bursts: Sequence[dict[str, Any]]) -> Row:
    refused = [burst for burst in bursts if burst["joules"] is None]
    silent = [burst for burst in refused if not burst["why_not"]]
    zeros = [burst for burst in bursts if burst["joules"] is not None and burst["joules"] <= 0]
    ticks = [burst["seconds"] / burst["period"] for burst in refused]
    longest = f"the longest was {max(ticks):.1f} U" if ticks else ""
    return Row(
        name,
        "refused, with a reason",
        "0 silent, 0 zeros",
        f"{percent(len(refused) / len(bursts), 1)} refused, {len(silent)} silent, {len(zeros)} zeros",
        not silent and not zeros,
        len(bursts),
        longest,
        {"refused": len(refused) / len(bursts), "silent": float(len(silent)), "zeros": float(len(zeros))},
    )


def _zeus(given: Sequence[dict[str, Any]]) -> list[Row]:
    errors = [burst["zeus"] for burst in given if burst["zeus"] is not None]
    if not errors:
        return []
    shown, values = errors_shown(errors)
    return [Row(tools()[ZEUS], "arbitrary bursts", "", shown, None, len(errors), "", values)]


def _short(burst: dict[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in burst.items()}

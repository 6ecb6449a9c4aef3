"""The audit's statistics: many simulated audits in virtual time, by `tests.bench.audits`.

Everything but the instrument and the clock is what an audit of real networks runs: both stages, the
interval of the paired ratio, the verdict. One task is one line of the table; they share the cores.
"""

from __future__ import annotations

from typing import Any

from tests.bench import audits
from tests.bench.energy import boards
from tests.bench.energy.rows import Row, percent

_COVERED = (0.93, 0.97)
_REACH = 0.01
_FALSE, _FOUND = 0.05, 0.90
_CONDITIONS = {
    "independent": "independent noise of 2 %",
    "drift": "linear drift of 5 % over the run, noise of 2 %",
    "autocorrelated": "autocorrelation 0.3 between trials, noise of 2 %",
}


def rows(quick: bool, seed: int) -> list[Row]:
    """Coverage, half-width, false and true differences.

    Args:
        quick: A twentieth of the audits.
        seed: Of all noise.
    """
    few, most = audits.SAME_MODEL_AUDITS
    more = most // few
    many, some = (50, 10) if quick else (1000, 200)
    wanted = [
        *((covered, (name, many, seed)) for name in audits.SCENARIOS),
        (reach, (many, seed)),
        (same, (some, seed)),
        (same, (some * more, seed)),
        (different, (some, seed)),
    ]
    return boards.run_all("protocol", _call, wanted, quick)


def _call(function: Any, arguments: tuple[Any, ...]) -> Row:
    made: Row = function(*arguments)
    return made


def covered(name: str, count: int, seed: int) -> Row:
    """Coverage of the paired ratio's 95 % interval in one scenario."""
    found = audits.coverage(audits.SCENARIOS[name], audits=count, seed=seed)
    low, high = _COVERED
    return Row(
        "coverage of the paired ratio's 95 % interval",
        f"{_CONDITIONS[name]}; virtual time",
        f"{percent(low, 0)} to {percent(high, 0)}",
        percent(found.covered, 1),
        low <= found.covered <= high,
        found.audits,
        f"{found.blocks:.1f} blocks an audit, half-width {percent(found.half_width)}",
        {"covered": found.covered, "blocks": found.blocks, "half_width": found.half_width},
    )


def reach(count: int, seed: int) -> Row:
    """Half-width of the interval after 60 s of measuring."""
    found = audits.halfwidth(audits=count, seed=seed)
    return Row(
        "half-width of the paired ratio's interval",
        "trial noise 0.5 %, U = 100 ms, 60 s of measuring; virtual time",
        "<= 1 %",
        f"mean {percent(found.mean)}, median {percent(found.median)}, nine in ten within "
        f"{percent(found.percentile_90)}",
        found.percentile_90 <= _REACH,
        found.audits,
        f"judged by the nine in ten; {percent(found.within_1_percent, 1)} of the audits come within 1 %",
        {"mean": found.mean, "median": found.median, "p90": found.percentile_90},
    )


def same(count: int, seed: int) -> Row:
    """How often a network comes out different from itself."""
    found = audits.same_model(audits=count, seed=seed)
    wrong = found.found + found.wrong_sign
    return Row(
        "one model against itself",
        "drift of 5 % over the run, noise of 2 %; virtual time",
        f'at most {percent(_FALSE, 0)} "different"',
        f'{percent(wrong, 1)} "different"',
        wrong <= _FALSE,
        found.audits,
        "",
        {"different": wrong},
    )


def different(count: int, seed: int) -> Row:
    """How often a true difference of 2 % is found."""
    found = audits.true_difference(audits=count, seed=seed)
    return Row(
        "a true difference of 2 %",
        "trial noise 0.5 %; virtual time",
        f">= {percent(_FOUND, 0)} found, none with the wrong sign",
        f"{percent(found.found, 1)} found, {round(found.wrong_sign * found.audits)} with the wrong sign",
        found.found >= _FOUND and found.wrong_sign == 0,
        found.audits,
        "",
        {"found": found.found, "wrong_sign": found.wrong_sign},
    )

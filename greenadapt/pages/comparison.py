"""One comparison as one HTML page: self-contained, offline, light and dark, wide and narrow.

what was asked      title, conditions, instrument
the answer          a card per retrofit: cost, accuracy, whom it beats and whom it loses to; across settings,
                    one for the cheapest at equal accuracy
findings            across settings: the cheapest, the batch at the knee, drawn against batch size
tradeoff            cost against top-1, the base's retrofits on arrows; where the names of all find room
all numbers         the table of `Comparison`, cell for cell; carbon, a line per place
verdicts, caveats   in sentences
every trial         so that drift shows
again               commands, and the profiles themselves to download
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from greenadapt.comparison import table as comparison_table
from greenadapt.comparison.across import words
from greenadapt.comparison.verdicts import NO_DIFFERENCE, sign_of_accuracy, sign_of_ratio
from greenadapt.pages import again, check_installed
from greenadapt.pages.batches import batches_svg
from greenadapt.pages.drawing import NARROW, PALETTE, WIDE, cost_of
from greenadapt.pages.drift import drift_svg
from greenadapt.pages.rendering import download, rendered
from greenadapt.pages.tradeoff import tradeoff_svg
from greenadapt.units import signed

if TYPE_CHECKING:
    from greenadapt.comparison.result import Comparison, Row
    from greenadapt.profile import Interval, Profile

_NAMES_FIT = 10
_TONES = {"beats": "good", "loses to": "bad"}


def comparison_page(comparison: Comparison, files: Sequence[str] = ()) -> str:
    """Draws a comparison.

    Args:
        comparison: What to show.
        files: Where the profiles lie, for the command that compares them again.

    Returns:
        HTML that needs nothing else, neither a network nor a script.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    check_installed()
    return rendered("comparison.html.jinja", _content(comparison, files))


def _content(comparison: Comparison, files: Sequence[str]) -> dict[str, Any]:
    columns = comparison_table.columns(comparison)
    return {
        "title": _title(comparison),
        "warning": _warning(comparison),
        "conditions": comparison_table.conditions_line(comparison.conditions, comparison.across).split(", "),
        "method": comparison.method,
        "cards": [_card(comparison, row) for row in _answers(comparison)],
        "cards_title": "The cheapest setting" if comparison.across else "Retrofits against the base",
        "findings": comparison.findings,
        "charts": _charts(comparison),
        "cost": cost_of(comparison)[0],
        "palette": PALETTE,
        "columns": [{"title": c.title.split("\n"), "align": c.align, "tooltip": c.tooltip} for c in columns],
        "rows": _rows(comparison),
        "pairs": [
            {"kind": _TONES.get(pair.outcome, "even"), "sentence": pair.sentence}
            for pair in comparison.versus
        ],
        "caveats": comparison.caveats,
        "carbon": comparison.carbon,
        "commands": again.commands(comparison, files),
        "remarks": again.remarks(comparison),
        "downloads": list(_downloads(comparison)),
        "machine": comparison.profiles[0].machine,
        "created": comparison.profiles[0].created.replace("T", " ").removesuffix("Z").removesuffix("+00:00"),
    }


def _answers(comparison: Comparison) -> list[Row]:
    """The rows that get a card: every retrofit; of many settings, the cheapest at equal accuracy."""
    if not comparison.across:
        return [row for row in comparison.rows if row.role == "retrofit"]
    best = comparison.cheapest
    if best is None or comparison.base.name in (best.name, *best.alike):
        return []
    return [row for row in comparison.rows if row.name == best.name]


def _title(comparison: Comparison) -> str:
    if comparison.across:
        return f"What other settings make of {comparison.base.name.partition('@')[0]}"
    retrofits = [row for row in comparison.rows if row.role == "retrofit"]
    if not retrofits:
        return f"{comparison.base.name} beside {len(comparison.rows) - 1} plain networks"
    subject = f"the retrofits of {comparison.base.name}" if len(retrofits) > 1 else retrofits[0].name
    return f"What {subject} {'save' if len(retrofits) > 1 else 'saves'}"


def _warning(comparison: Comparison) -> str | None:
    """What stands above everything else if an audit is not valid."""
    doubted = [row for row in comparison.rows if row.validity != "valid"]
    if not doubted:
        return None
    worst = "invalid" if any(row.validity == "invalid" for row in doubted) else "suspect"
    who = (
        "Every audit here" if len(doubted) == len(comparison.rows) else ", ".join(row.name for row in doubted)
    )
    return f"{who} is {worst}: something disturbed the measurement; the reasons are further down."


def _card(comparison: Comparison, row: Row) -> dict[str, Any]:
    by_energy = row.energy_ratio is not None
    profile = comparison.profiles[comparison.rows.index(row)]
    return {
        "name": row.name,
        "what": _what(comparison, row, profile),
        "cost": _figure(row.energy_ratio or row.latency_ratio),
        "cost_title": "energy per image" if by_energy else "time per image",
        "top1": _accuracy_figure(row),
        "badges": [
            {"kind": _TONES.get(pair.outcome, "even"), "text": f"{pair.outcome} {pair.other}"}
            for pair in comparison.versus
            if pair.network == row.name
        ],
    }


def _what(comparison: Comparison, row: Row, profile: Profile) -> str:
    if comparison.across:
        return ", ".join(words(name, value) for name, value in row.setting.items())
    options = ", ".join(f"{name}={value}" for name, value in profile.subject.recipe.options.items())
    return f"{profile.subject.recipe.adapter or 'retrofit'}" + (f" ({options})" if options else "")


def _figure(ratio: Interval | None) -> dict[str, str]:
    if ratio is None:
        return {"big": "unknown", "small": "", "kind": "even"}
    sign = sign_of_ratio(ratio)
    mean, low, high = (signed((end - 1) * 100) for end in (ratio.mean, ratio.low, ratio.high))
    small = f"{low} to {high} %"
    if sign == 0:
        return {"big": NO_DIFFERENCE, "small": small, "kind": "even"}
    return {"big": f"{mean} %", "small": small, "kind": "good" if sign < 0 else "bad"}


def _accuracy_figure(row: Row) -> dict[str, str]:
    difference = row.top1_difference
    if difference is None:
        return {"big": "not compared", "small": "", "kind": "even"}
    sign = sign_of_accuracy(difference)
    small = f"{difference.low * 100:+.2f} to {difference.high * 100:+.2f} points"
    if sign == 0:
        return {"big": NO_DIFFERENCE, "small": small, "kind": "even"}
    return {
        "big": f"{difference.mean * 100:+.2f} points",
        "small": small,
        "kind": "good" if sign > 0 else "bad",
    }


def _charts(comparison: Comparison) -> dict[str, dict[str, str | None]]:
    return {
        size: {
            "tradeoff": tradeoff_svg(comparison, width) if len(comparison.rows) <= _NAMES_FIT else None,
            "batches": batches_svg(comparison, width),
            "drift": drift_svg(comparison, width),
        }
        for size, width in (("wide", WIDE), ("narrow", NARROW))
    }


def _rows(comparison: Comparison) -> list[dict[str, Any]]:
    cells = comparison_table.cells(comparison)
    return [
        {"role": row.role, "verdict": row.verdict, "cells": [cell.split("\n") for cell in line]}
        for row, line in zip(comparison.rows, cells, strict=True)
    ]


def _downloads(comparison: Comparison) -> list[dict[str, str]]:
    files = [
        ("comparison.csv", "text/csv", comparison.to_csv()),
        ("comparison.json", "application/json", comparison.to_json()),
        *((f"{p.subject.name}.json", "application/json", p.to_json()) for p in comparison.profiles),
    ]
    return [download(*file) for file in files]

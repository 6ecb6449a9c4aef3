"""Tables for people and for programs, from the same cells: aligned text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Align = Literal["left", "right"]


@dataclass(frozen=True)
class Column:
    """One column of a table for people.

    Attributes:
        title: What stands at the head; a line break makes a second line of head.
        align: Names to the left, numbers to the right.
        tooltip: The column in plain words, for pages.
    """

    title: str
    align: Align = "right"
    tooltip: str = ""


def text_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """Aligned text with a rule under the head; where cells have several lines, rows are set apart.

    Args:
        columns: The head.
        rows: One cell per column.
    """
    lines = [[column.title for column in columns], *rows]
    split = [[cell.split("\n") for cell in line] for line in lines]
    widths = [max(_width(part) for line in split for part in line[i]) for i in range(len(columns))]
    printed = [_printed(line, columns, widths) for line in split]
    rule = "  ".join("-" * width for width in widths)
    tall = any("\n" in line for line in printed[1:])
    body = ("\n\n" if tall else "\n").join(printed[1:])
    return "\n".join([printed[0], rule, body])


def markdown_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> str:
    """A table in GitHub's Markdown; bars in cells are escaped, line breaks become ``<br>``."""
    head = [column.title for column in columns]
    rule = ["---:" if column.align == "right" else "---" for column in columns]
    lines = [head, rule, *rows]
    return "\n".join("| " + " | ".join(_markdown_cell(cell) for cell in line) + " |" for line in lines)


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """Comma-separated values with a head, for programs; None is an empty field.

    Args:
        rows: Flat rows, all with the keys of the first.
    """
    if not rows:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _printed(cells: list[list[str]], columns: Sequence[Column], widths: list[int]) -> str:
    height = max(len(cell) for cell in cells)
    lines = []
    for level in range(height):
        parts = [
            _padded(cell[level] if level < len(cell) else "", width, column.align)
            for cell, width, column in zip(cells, widths, columns, strict=True)
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _padded(text: str, width: int, align: Align) -> str:
    space = " " * (width - _width(text))
    return space + text if align == "right" else text + space


def _width(text: str) -> int:
    # East Asian wide characters take two columns of a terminal, combining marks none.
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")

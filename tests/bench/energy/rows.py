"""One line of the table, and the few figures that lines are made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """A figure with its bar.

    Attributes:
        name: What is measured; for a comparison, whose figure it is.
        condition: Under which circumstances.
        bar: What it must reach, in words; empty where it is only shown.
        shown: The figure as the page prints it.
        met: Whether the bar is reached; None where there is none.
        n: On how many windows, trials, audits or calls the figure rests.
        note: What else a reader must know.
        values: The figure as numbers, by name.
        raw: What the figure was computed from.
    """

    name: str
    condition: str
    bar: str
    shown: str
    met: bool | None
    n: int
    note: str = ""
    values: Mapping[str, float | None] = field(default_factory=dict)
    raw: Sequence[Any] = ()

    def as_json(self) -> dict[str, Any]:
        """What goes into the file."""
        return dataclasses.asdict(self)


def row_of(thing: Any) -> Row:
    """A row made elsewhere, taken over by the names of its fields; what it lacks keeps its default."""
    known = {
        one.name: getattr(thing, one.name) for one in dataclasses.fields(Row) if hasattr(thing, one.name)
    }
    return Row(**{"condition": "", "bar": "", "n": 0, **known})


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of the values does not exceed; no interpolation.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        raise ValueError("no values, no percentile")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def percent(fraction: float, digits: int = 2) -> str:
    """A fraction in per cent, such as "0.37 %"."""
    return f"{fraction * 100:.{digits}f} %"


def errors_shown(errors: Sequence[float]) -> tuple[str, dict[str, float | None]]:
    """The 95th percentile and the largest of relative errors, for the page and for the file."""
    if not errors:
        return "no figure", {"p95": None, "max": None}
    sizes = [abs(error) for error in errors]
    p95, largest = percentile(sizes, 0.95), max(sizes)
    return f"p95 {percent(p95, 3)}, max {percent(largest, 3)}", {"p95": p95, "max": largest}

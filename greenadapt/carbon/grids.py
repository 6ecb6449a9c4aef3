"""How much CO2 equivalent a kilowatt-hour means at a place, without a network.

The intensities are those that ship with CodeCarbon: a country's yearly mean, from Our World in
Data. They are location-based: what the grid there emits, whatever contracts say. A place that is not
in the table is an error here; CodeCarbon itself would silently take the world's mean. Where no country
fits, `given_grid` takes a figure of one's own, with its source.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from greenadapt.errors import OptionError, did_you_mean

GIVEN = "given"
_TABLE = "data/private_infra/global_energy_mix.json"


@dataclass(frozen=True)
class Grid:
    """The electricity of a place.

    Attributes:
        place: ISO 3166-1 alpha-3 code, or a name of one's own.
        name: The country's name, or the same name again.
        grams_per_kwh: CO2 equivalent per kilowatt-hour.
        year: The year that the figure is for; None if the table does not say.
        source: Where the figure comes from.

    Raises:
        OptionError: The intensity is below 0, or no number. The table has a country of 0.
    """

    place: str
    name: str
    grams_per_kwh: float
    year: int | None
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.grams_per_kwh) and self.grams_per_kwh >= 0):
            raise OptionError(
                f"The grid {self.place!r} has no such intensity.",
                f"It is {self.grams_per_kwh} grams of CO2 equivalent per kilowatt-hour.",
                "Use a number of at least 0, such as 56.",
            )


def grid_of(place: str) -> Grid:
    """The grid of a country.

    Args:
        place: ISO 3166-1 alpha-3 code, such as "FRA"; small letters will do.

    Raises:
        OptionError: CodeCarbon's table has no intensity for it.
    """
    table = _table()
    entry = table.get(place.upper())
    if entry is None or entry.get("carbon_intensity") is None:
        raise OptionError(
            f"The carbon intensity of {place!r} is not known.",
            f"{len(places())} countries are known, by their three-letter codes (ISO 3166-1 alpha-3).",
            _suggestion(place, table),
        )
    return Grid(
        place=place.upper(),
        name=str(entry["country_name"]),
        grams_per_kwh=float(entry["carbon_intensity"]),
        year=int(entry["year"]) if entry.get("year") is not None else None,
        source=f"Our World in Data, in CodeCarbon {metadata.version('codecarbon')}",
    )


def given_grid(text: str) -> Grid:
    """A grid whose intensity the user gives, as ``56`` or ``56:where that figure is from``.

    Args:
        text: Grams of CO2 equivalent per kilowatt-hour, and after a colon the source.

    Raises:
        OptionError: It is no number above 0.
    """
    number, _, source = text.partition(":")
    try:
        grams_per_kwh = float(number)
    except ValueError:
        grams_per_kwh = math.nan
    if not (math.isfinite(grams_per_kwh) and grams_per_kwh > 0):
        raise OptionError(
            f"{text!r} is no intensity of a grid.",
            "It must begin with grams of CO2 equivalent per kilowatt-hour, above 0.",
            "Write it like 56, or with its source like '56:RTE, mean of 2024'.",
        )
    return Grid(GIVEN, GIVEN, grams_per_kwh, None, source.strip() or "given by the user")


def places() -> list[str]:
    """The codes of all countries whose intensity is known."""
    return sorted(code for code, entry in _table().items() if entry.get("carbon_intensity") is not None)


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[str, Any]]:
    # Found without importing CodeCarbon: its own reader would load pandas and NVML for this one file.
    spec = find_spec("codecarbon")
    if spec is None or not spec.submodule_search_locations:
        raise OptionError(
            "Carbon cannot be worked out.",
            "CodeCarbon, whose table of grids is used, is not installed.",
            "Run: pip install 'codecarbon>=3.3.2'",
        )
    path = Path(spec.submodule_search_locations[0]) / _TABLE
    table: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return table


def _suggestion(place: str, table: dict[str, dict[str, Any]]) -> str:
    wanted = place.strip().casefold()
    named = [code for code, entry in table.items() if str(entry.get("country_name", "")).casefold() == wanted]
    if named:
        return f"Did you mean {named[0]}?"
    starting = [code for code in table if wanted and code.startswith(place.upper()[:2])]
    return did_you_mean(place.upper(), [*table]) or (
        f"Did you mean {', '.join(starting[:3])}?" if starting else "Use a code such as FRA, DEU or USA."
    )

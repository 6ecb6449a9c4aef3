"""Grams of CO2 equivalent, from joules and the grid of a place, without a network.

The intensities are those that ship with CodeCarbon: a country's yearly mean, from Our World in
Data. They are location-based: what the grid there emits, whatever contracts say. A place that is not
in the table is an error here; CodeCarbon itself would silently take the world's mean.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from greenadapt.errors import OptionError, did_you_mean
from greenadapt.profile import Carbon, Kind
from greenadapt.units import carbon_grams

_TABLE = "data/private_infra/global_energy_mix.json"


@dataclass(frozen=True)
class Grid:
    """The electricity of a place.

    Attributes:
        place: ISO 3166-1 alpha-3 code.
        name: The country's name.
        grams_per_kwh: CO2 equivalent per kilowatt-hour.
        year: The year that the figure is for; None if the table does not say.
        source: Where the figure comes from.
    """

    place: str
    name: str
    grams_per_kwh: float
    year: int | None
    source: str


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


def places() -> list[str]:
    """The codes of all countries whose intensity is known."""
    return sorted(code for code, entry in _table().items() if entry.get("carbon_intensity") is not None)


def carbon_at(joules_per_inference: float, kind: Kind, wanted: Sequence[str]) -> list[Carbon]:
    """Grams per 1000 inferences at some places.

    Args:
        joules_per_inference: Gross energy.
        kind: Whether the energy was measured or estimated.
        wanted: ISO codes.

    Raises:
        OptionError: A place is not known.
    """
    return [
        Carbon(
            place=grid.place,
            grams_per_kwh=grid.grams_per_kwh,
            source=grid.source,
            year=grid.year,
            grams_per_1000_inferences=grams_per_1000(joules_per_inference, grid.grams_per_kwh),
            kind=kind,
        )
        for grid in (grid_of(place) for place in wanted)
    ]


def grams_per_1000(joules_per_inference: float, grams_per_kwh: float) -> float:
    """Grams of CO2 equivalent of 1000 inferences."""
    return carbon_grams(1000 * joules_per_inference, grams_per_kwh)


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

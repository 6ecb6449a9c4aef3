"""Carbon of all networks in a comparison, one line per place.

The grams are those of the profiles; nothing is worked out here. Entries belong together where place,
intensity, source and whatever else was given are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from greenadapt.profile import Carbon, Profile
from greenadapt.units import significant

_FIGURES = {
    "electricity": "grams_per_1000_inferences",
    "with PUE": "facility_grams_per_1000_inferences",
    "embodied": "embodied_grams_per_1000_inferences",
    "SCI": "sci_grams_per_1000_inferences",
}
_INPUTS = ("place", "grams_per_kwh", "source", "year", "kind", "pue", "embodied")


def carbon_lines(profiles: Sequence[Profile]) -> list[str]:
    """A line per place: "carbon FRA, g CO2e per 1,000 images in table order: 1.2, 0.9 (56 g/kWh, ...)".

    Args:
        profiles: In the order of the table. Networks without a figure are told as unknown.
    """
    lines = []
    for entries in _by_place(profiles):
        first = next(entry for entry in entries if entry is not None)
        told = []
        for name, field in _FIGURES.items():
            if getattr(first, field) is not None:
                grams = ", ".join(_grams(entry, field) for entry in entries)
                told.append(grams if name == "electricity" else f"{_name(name, first)}: {grams}")
        what = f"carbon {first.place}, g CO2e per 1,000 images in table order"
        lines.append(f"{what}: {'; '.join(told)} ({_source(first)})")
    return lines


def carbon_content(profiles: Sequence[Profile]) -> list[dict[str, Any]]:
    """The same for programs: per place its inputs, and for each network every figure that there is."""
    found = []
    for entries in _by_place(profiles):
        first = next(entry for entry in entries if entry is not None)
        networks = [
            {"name": profile.subject.name}
            | {field: getattr(entry, field, None) for field in _FIGURES.values()}
            for profile, entry in zip(profiles, entries, strict=True)
        ]
        found.append(first.model_dump(mode="json", include=set(_INPUTS)) | {"networks": networks})
    return found


def carbon_columns(profiles: Sequence[Profile]) -> list[dict[str, float | None]]:
    """The same as further fields of a flat row, per network: ``carbon_FRA_grams_per_1000_inferences``."""
    rows: list[dict[str, float | None]] = [{} for _ in profiles]
    for entries in _by_place(profiles):
        first = next(entry for entry in entries if entry is not None)
        place = f"carbon_{first.place}"
        # Files of different years or sources may give one place two intensities.
        if f"{place}_{_FIGURES['electricity']}" in rows[0]:
            place += f"_{first.grams_per_kwh:g}"
        for field in _FIGURES.values():
            if getattr(first, field) is not None:
                for row, entry in zip(rows, entries, strict=True):
                    row[f"{place}_{field}"] = getattr(entry, field, None)
    return rows


def _by_place(profiles: Sequence[Profile]) -> Iterator[list[Carbon | None]]:
    """One list per place with an entry per profile; None where the profile has none of it."""
    keys = dict.fromkeys(_key(carbon) for profile in profiles for carbon in profile.carbon)
    for key in keys:
        yield [next((each for each in profile.carbon if _key(each) == key), None) for profile in profiles]


def _key(carbon: Carbon) -> str:
    return carbon.model_dump_json(include=set(_INPUTS))


def _grams(entry: Carbon | None, field: str) -> str:
    grams = getattr(entry, field, None)
    return "unknown" if grams is None else significant(grams)


def _name(name: str, carbon: Carbon) -> str:
    return f"at a PUE of {carbon.pue:g}" if name == "with PUE" else name


def _source(carbon: Carbon) -> str:
    year = f", {carbon.year}" if carbon.year else ""
    return f"{carbon.grams_per_kwh:g} g/kWh, {carbon.source}{year}; energy {carbon.kind}"

"""Grams of CO2 equivalent: of the electricity, of the building around it, and of making the hardware.

    joules x grid                       grams_per_1000_inferences              always, per place
           x grid x PUE                 facility_grams_per_1000_inferences     where a PUE is given
    share of the hardware's making      embodied_grams_per_1000_inferences     where that is given
    the sum, as SCI adds it             sci_grams_per_1000_inferences          where that is given

Each is a field of its own, and its inputs stand beside it. None of them ever touches the joules: a
profile's energy is what the instrument read, whatever building it stood in.

`greenadapt.carbon.grids` knows the intensity of 200 countries; `greenadapt.carbon.sci` is the arithmetic of
the Software Carbon Intensity specification (Green Software Foundation, v1.1; ISO/IEC 21031:2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from greenadapt.carbon.grids import Grid as Grid
from greenadapt.carbon.grids import given_grid as given_grid
from greenadapt.carbon.grids import grid_of as grid_of
from greenadapt.carbon.grids import places as places
from greenadapt.carbon.sci import embodied_grams, facility_grams, operational_grams, sci_grams
from greenadapt.errors import OptionError
from greenadapt.profile import Carbon, Embodied, Kind
from greenadapt.units import seconds_from_years

_INFERENCES = 1000


@dataclass(frozen=True)
class CarbonInputs:
    """What carbon figures are wanted, and what is known beside the joules.

    Attributes:
        places: ISO 3166-1 alpha-3 codes of countries; small letters will do.
        grids: Grids of one's own, where no country fits; see `given_grid`.
        pue: Power usage effectiveness of the data centre: what the building draws over what its computers
            draw, at least 1; None where it is not known.
        embodied: The making of the hardware; None where it is not known.

    Raises:
        OptionError: The PUE is below 1.
    """

    places: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    pue: float | None = None
    embodied: Embodied | None = None

    def __post_init__(self) -> None:
        if self.pue is not None and not (math.isfinite(self.pue) and self.pue >= 1):
            raise OptionError(
                "The PUE is out of range.",
                f"It is {self.pue}; a building draws at least what its computers draw.",
                "Use 1 or more, such as 1.2.",
            )

    def at(self, more: Iterable[str]) -> CarbonInputs:
        """The same with further places."""
        return replace(self, places=_distinct([*self.places, *more]))

    def wanted(self) -> list[Grid]:
        """The grids of all places, then those of one's own; worth asking before the first measurement.

        Raises:
            OptionError: A place is not known, two grids share a name, or there is no grid for what else is
                given.
        """
        if (self.pue is not None or self.embodied is not None) and not (self.places or self.grids):
            raise OptionError(
                "There is no grid to work out carbon with.",
                "A PUE or embodied grams were given, and neither a place nor an intensity.",
                "Name a place, such as --place FRA, or give --intensity.",
            )
        grids = [*(grid_of(place) for place in _distinct(self.places)), *self.grids]
        names = [grid.place for grid in grids]
        if len(set(names)) < len(names):
            raise OptionError(
                "Two grids have one name.", f"They are: {', '.join(names)}.", "Give each a name of its own."
            )
        return grids

    def figures(self, joules_per_inference: float, seconds_per_inference: float, kind: Kind) -> list[Carbon]:
        """Grams per 1000 inferences, one entry per grid.

        Args:
            joules_per_inference: Gross energy, as the instrument read it.
            seconds_per_inference: For how long one inference has the hardware to itself.
            kind: Whether the energy was measured or estimated.
        """
        return [
            again(self._asked(grid, kind), joules_per_inference, seconds_per_inference)
            for grid in self.wanted()
        ]

    def _asked(self, grid: Grid, kind: Kind) -> Carbon:
        return Carbon(
            place=grid.place,
            grams_per_kwh=grid.grams_per_kwh,
            source=grid.source,
            year=grid.year,
            grams_per_1000_inferences=0.0,
            kind=kind,
            pue=self.pue,
            embodied=self.embodied,
        )


def again(carbon: Carbon, joules_per_inference: float, seconds_per_inference: float) -> Carbon:
    """The same entry with every derived figure worked out anew; `greenadapt check` compares the two.

    Args:
        carbon: Intensity, PUE and embodied grams are taken from it, its grams are not.
        joules_per_inference: Gross energy.
        seconds_per_inference: For how long one inference has the hardware to itself.
    """
    electricity = operational_grams(joules_per_inference, carbon.grams_per_kwh)
    facility = None if carbon.pue is None else facility_grams(electricity, carbon.pue)
    making = None if carbon.embodied is None else _making(carbon.embodied, seconds_per_inference)
    total = None if making is None else sci_grams(electricity if facility is None else facility, making)
    return carbon.model_copy(
        update={
            "grams_per_1000_inferences": _INFERENCES * electricity,
            "facility_grams_per_1000_inferences": _thousand(facility),
            "embodied_grams_per_1000_inferences": _thousand(making),
            "sci_grams_per_1000_inferences": _thousand(total),
        }
    )


def _making(embodied: Embodied, seconds: float) -> float:
    lifetime = seconds_from_years(embodied.lifetime_years)
    return embodied_grams(embodied.total_grams, seconds, lifetime, embodied.share)


def _thousand(grams: float | None) -> float | None:
    return None if grams is None else _INFERENCES * grams


def _distinct(codes: Iterable[str]) -> tuple[str, ...]:
    """Each place once, as it was first written: an error repeats what the user wrote."""
    found: dict[str, str] = {}
    for code in codes:
        found.setdefault(code.upper(), code)
    return tuple(found.values())

"""Carbon: grams of CO2 equivalent with their inputs beside them."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from greenadapt.profile.plan import Kind, Part


class Embodied(Part):
    """The making of the hardware, as one inference has to bear a share of it (SCI's M)."""

    total_grams: PositiveFloat
    """Grams of CO2 equivalent for making the hardware and for its end (TE)."""
    lifetime_years: PositiveFloat
    """How long it is expected to work (EL); where it works half of its years, give half of them."""
    share: float = Field(default=1.0, gt=0, le=1)
    """How much of it is reserved (RR / ToR): 0.125 for one of eight boards."""
    source: str = ""
    """Where the figure is from."""


class Carbon(Part):
    """Grams of CO2 equivalent, location-based; each figure has its inputs beside it."""

    place: str
    """ISO 3166-1 alpha-3 code, or "given" where the user gave the intensity."""
    grams_per_kwh: float
    source: str
    year: int | None
    grams_per_1000_inferences: float
    """For the electricity that the instrument saw: neither PUE nor embodied."""
    kind: Kind
    pue: float | None = None
    """Power usage effectiveness as given; the joules never contain it."""
    facility_grams_per_1000_inferences: float | None = None
    """The electricity's grams times the PUE."""
    embodied: Embodied | None = None
    embodied_grams_per_1000_inferences: float | None = None
    """For the time that the inferences take, the hardware to themselves."""
    sci_grams_per_1000_inferences: float | None = None
    """Electricity (with the PUE where given) and embodied: the Software Carbon Intensity."""

"""Software Carbon Intensity: ((E x I) + M) per inference.

Source: Green Software Foundation, Software Carbon Intensity (SCI) specification v1.1, the text of ISO/IEC
21031:2024. E is energy, I the intensity of the grid where it is drawn (location-based: contracts and offsets
do not count), M the embodied emissions, per functional unit R; here R is one inference.
"""

from __future__ import annotations

from greenadapt.units import carbon_grams


def operational_grams(joules: float, grams_per_kwh: float) -> float:
    """E x I: grams for the electricity that the instrument saw, without any building around it."""
    return carbon_grams(joules, grams_per_kwh)


def facility_grams(operational: float, pue: float) -> float:
    """Grams for the same electricity with cooling and losses of the building.

    Args:
        operational: What `operational_grams` gave.
        pue: Power usage effectiveness, at least 1 (ISO/IEC 30134-2).
    """
    return operational * pue


def embodied_grams(
    total_grams: float, reserved_seconds: float, lifetime_seconds: float, share: float
) -> float:
    """M = TE x (TiR / EL) x (RR / ToR): the share of the hardware's making that one use has to bear.

    Args:
        total_grams: TE, the emissions of making the hardware and of its end.
        reserved_seconds: TiR, for how long the use has the hardware.
        lifetime_seconds: EL, for how long the hardware is expected to work.
        share: RR / ToR, how much of the hardware is reserved, between 0 and 1.
    """
    return total_grams * (reserved_seconds / lifetime_seconds) * share


def sci_grams(electricity: float, embodied: float) -> float:
    """(E x I) + M.

    Args:
        electricity: Grams of the electricity: of the facility where a PUE is known, else operational.
        embodied: What `embodied_grams` gave.
    """
    return electricity + embodied

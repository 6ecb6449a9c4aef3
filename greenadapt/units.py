"""Joules, kilowatt-hours, grams and seconds: the only file that may hold 3600 or 3.6e6.

Inside greenadapt energy is in joules, mass in grams and time in seconds, and the unit stands in the
name. Kilowatt-hours appear only at CodeCarbon's border and in exporters.
"""

from __future__ import annotations

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_YEAR = 365.25 * 24 * SECONDS_PER_HOUR
NANOSECONDS_PER_SECOND = 1e9
MICROSECONDS_PER_SECOND = 1e6
JOULES_PER_KWH = 3.6e6
MILLIJOULES_PER_JOULE = 1000.0
MILLIWATTS_PER_WATT = 1000.0
MICROJOULES_PER_JOULE = 1e6
MICROWATTS_PER_WATT = 1e6
GRAMS_PER_KILOGRAM = 1000.0

_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def joules_from_kwh(kwh: float) -> float:
    """Energy in joules from energy in kilowatt-hours."""
    return kwh * JOULES_PER_KWH


def kwh_from_joules(joules: float) -> float:
    """Energy in kilowatt-hours from energy in joules."""
    return joules / JOULES_PER_KWH


def joules_from_millijoules(millijoules: float) -> float:
    """Energy in joules from NVML's counter, which counts millijoules."""
    return millijoules / MILLIJOULES_PER_JOULE


def joules_from_microjoules(microjoules: float) -> float:
    """Energy in joules from a powercap counter, which counts microjoules."""
    return microjoules / MICROJOULES_PER_JOULE


def watts_from_milliwatts(milliwatts: float) -> float:
    """Power in watts from NVML's reading in milliwatts."""
    return milliwatts / MILLIWATTS_PER_WATT


def watts_from_microwatts(microwatts: float) -> float:
    """Power in watts from a powercap limit in microwatts."""
    return microwatts / MICROWATTS_PER_WATT


def seconds_from_nanoseconds(nanoseconds: float) -> float:
    """Time in seconds from NVML's violation times, which count nanoseconds."""
    return nanoseconds / NANOSECONDS_PER_SECOND


def seconds_from_years(years: float) -> float:
    """Time in seconds from Julian years of 365.25 days."""
    return years * SECONDS_PER_YEAR


def carbon_grams(joules: float, grams_per_kwh: float) -> float:
    """Grams of CO2 equivalent for an energy in joules on a grid of the given intensity."""
    return kwh_from_joules(joules) * grams_per_kwh


def with_prefix(value: float, unit: str, digits: int = 3) -> str:
    """A quantity for people, with an SI prefix: ``with_prefix(0.00123, "J")`` is "1.23 mJ".

    Args:
        value: The quantity in the unprefixed unit.
        unit: The unit's symbol.
        digits: Significant digits.
    """
    if value == 0:
        return f"0 {unit}"
    scale, prefix = prefix_of(value)
    return f"{significant(value / scale, digits)} {prefix}{unit}"


def prefix_of(value: float) -> tuple[float, str]:
    """The SI prefix that suits a quantity, with its scale: 0.00123 gives (0.001, "m")."""
    return next((pair for pair in _PREFIXES if abs(value) >= pair[0]), _PREFIXES[-1])


def significant(value: float, digits: int = 3) -> str:
    """A number with that many significant digits and no exponent: 1234.5 gives "1230"."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits}g}")
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    if whole == 0:
        return (
            f"{value:.{digits}g}"
            if abs(rounded) < 1e-4
            else f"{rounded:.{digits + 4}f}".rstrip("0").rstrip(".")
        )
    return f"{rounded:.{max(0, digits - whole)}f}"


def signed(value: float, digits: int = 3) -> str:
    """Like `significant`, with its sign always: 12.34 gives "+12.3"."""
    return f"{'-' if value < 0 else '+'}{significant(abs(value), digits)}"

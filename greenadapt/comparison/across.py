"""Conditions that rivals may differ in: their names on the command line, their fields, their words.

A network at another precision, compiled, or with another batch is a rival that needs no training.
`greenadapt.compare` refuses profiles whose conditions differ, unless the difference is what is asked
about: ``across=("precision", "batch")``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from greenadapt.errors import OptionError, did_you_mean
from greenadapt.profile import Conditions, Profile

FIELDS = {
    "precision": "precision",
    "compile": "compile",
    "format": "memory_format",
    "batch": "batch_size",
    "threads": "threads",
    "power-limit": "power_limit_watts",
    "torch": "torch",
    "driver": "driver",
}
"""What can be compared across, with the field of `Conditions` that it stands for."""

SWEEPABLE = ("precision", "compile", "format", "batch")
"""Those that an audit can vary in one run."""


def checked_across(across: Sequence[str]) -> tuple[str, ...]:
    """The names in the order of `FIELDS`, each once.

    Args:
        across: Names, or fields of `Conditions`.

    Raises:
        OptionError: One of them is no condition that profiles can be compared across.
    """
    names = {field: name for name, field in FIELDS.items()} | {name: name for name in FIELDS}
    for name in across:
        if name not in names:
            raise OptionError(
                f"Profiles cannot be compared across {name!r}.",
                f"There are: {', '.join(FIELDS)}. {did_you_mean(name, FIELDS)}".rstrip(),
                "Name those of them in which the profiles differ.",
            )
    asked = {names[name] for name in across}
    return tuple(name for name in FIELDS if name in asked)


def setting_of(conditions: Conditions, across: Iterable[str]) -> dict[str, Any]:
    """The values of some conditions by name."""
    return {name: getattr(conditions, FIELDS[name]) for name in across}


def words(name: str, value: Any) -> str:
    """A condition in words, such as "compiled" or "batch 8"."""
    if name == "compile":
        return "compiled" if value else "eager"
    if name == "batch":
        return f"batch {value}"
    if name == "threads":
        return "1 thread" if value == 1 else f"{value} threads"
    if name == "power-limit":
        return "unknown power limit" if value is None else f"{value:g} W at most"
    if name in ("torch", "driver"):
        return f"{name} {value or 'unknown'}"
    return str(value)


def cell(name: str, value: Any) -> str:
    """A condition in a column of its own: a number without its name."""
    return f"{value:g}" if isinstance(value, (int, float)) and name != "compile" else words(name, value)


def change_words(base: Conditions, other: Conditions, across: Iterable[str]) -> str:
    """What one setting has that another has not: "bf16, batch 8"; empty if they are the same."""
    ours, theirs = setting_of(other, across), setting_of(base, across)
    return ", ".join(words(name, value) for name, value in ours.items() if value != theirs[name])


def network_of(profile: Profile) -> tuple[str | None, str]:
    """What tells a network from others whatever its setting: its weights, and its name without a setting."""
    return profile.subject.weights_sha256, profile.subject.name.partition("@")[0]

"""What the options of every adapter need: checks that numbers are what they say, one way to write them."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from greenadapt.errors import OptionError


def check_whole(name: str, value: object, low: int, high: int | None = None) -> None:
    """Refuses what is no whole number in a range.

    Raises:
        OptionError: It is of another type, or out of range.
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):  # type: ignore[operator]
        upper = f" to {high}" if high is not None else " or more"
        raise OptionError(
            f"{name} is out of range.", f"{name}={value!r}", f"Use a whole number, {low}{upper}."
        )


def check_share(name: str, value: object) -> None:
    """Refuses what is no number above 0 and at most 1.

    Raises:
        OptionError: It is of another type, or out of range.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= 1:  # type: ignore[operator]
        raise OptionError(
            f"{name} is out of range.",
            f"{name}={value!r}",
            f"Use more than 0 and at most 1, such as {name}=0.6.",
        )


def written(config: Any) -> str:
    """The options as they are given on the command line: ``alpha=2, beta=4``.

    Args:
        config: An adapter's config, a dataclass.
    """
    return ", ".join(f"{field.name}={getattr(config, field.name)}" for field in fields(config))

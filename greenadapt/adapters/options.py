"""What the options of every adapter need: checks that numbers are what they say, one way to write them."""

from __future__ import annotations

from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from greenadapt.errors import OptionError


def check_whole(name: str, value: object, low: int, high: int | None = None) -> int:
    """A whole number in a range, numpy's too, as Python's own.

    Raises:
        OptionError: It is of another type, or out of range.
    """
    if (
        not isinstance(value, Integral)
        or isinstance(value, bool)
        or int(value) < low
        or (high is not None and int(value) > high)
    ):
        upper = f" to {high}" if high is not None else " or more"
        raise OptionError(
            f"{name} is out of range.", f"{name}={value!r}", f"Use a whole number, {low}{upper}."
        )
    return int(value)


def check_share(name: str, value: object) -> float:
    """A number above 0 and at most 1, numpy's too, as Python's own.

    Raises:
        OptionError: It is of another type, or out of range.
    """
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < float(value) <= 1:
        raise OptionError(
            f"{name} is out of range.",
            f"{name}={value!r}",
            f"Use more than 0 and at most 1, such as {name}=0.6.",
        )
    return float(value)


def put(config: Any, **values: Any) -> None:
    """Sets fields of a frozen config while it is made."""
    for name, value in values.items():
        object.__setattr__(config, name, value)


def written(config: Any) -> str:
    """The options as they are given on the command line: ``alpha=2, beta=4``.

    Args:
        config: An adapter's config, a dataclass.
    """
    return ", ".join(f"{field.name}={getattr(config, field.name)}" for field in fields(config))

"""The lines that `greenadapt check` prints, and when two figures are the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

RELATIVE = 1e-9


def compared(where: str, stored: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    """A line for each figure that differs from what the readings give.

    Args:
        where: Name of the part that both are.
        stored: What the profile says.
        again: What was computed.
    """
    for name, new in again.items():
        old, full = stored[name], f"{where}.{name}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from compared(full, old, new)
        elif not _same(old, new):
            yield line(full, _shown(old), _shown(new))


def line(name: str, stored: object, computed: object) -> str:
    """What a figure says, and what the readings give."""
    return f"{name} says {stored}; the readings give {computed}"


def broken(name: str, stored: object, expected: object) -> str:
    """What a figure says, and what it must be, whatever the readings."""
    return f"{name} says {stored}; it must be {expected}"


def _same(old: Any, new: Any) -> bool:
    # Another platform's logarithm may differ in the last place.
    numbers = isinstance(old, (int, float)) and isinstance(new, (int, float))
    return math.isclose(old, new, rel_tol=RELATIVE) if numbers else bool(old == new)


def _shown(value: Any) -> Any:
    return "nothing" if value is None else value.get("mean") if isinstance(value, dict) else value

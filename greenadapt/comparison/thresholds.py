"""Conditions such as ``energy > -10%``, for `compare --fail-if`: parsed strictly, never evaluated as code.

A change is that of a network against its base: ``energy > -10%`` holds for a network that saves less
than ten per cent. Ratios are given in per cent; accuracy is a difference in points, so ``top1 < -1``
holds for a network that is more than one point less accurate.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from greenadapt.errors import OptionError, did_you_mean

QUANTITIES = {"energy": "%", "latency": "%", "flops": "%", "parameters": "%", "top1": "points"}
"""What a condition can be about, and the unit of its change."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|<|>)\s*([+-]?\d+(?:\.\d+)?)\s*(%|points?)?\s*")
_EXAMPLES = "Write it like 'energy > -10%', 'latency > -5%' or 'top1 < -1'."


@dataclass(frozen=True)
class Threshold:
    """A parsed condition on the change of one quantity.

    Attributes:
        quantity: One of `QUANTITIES`.
        sign: "<", "<=", ">" or ">=".
        limit: The change it is held against, in the quantity's unit: per cent or points.
    """

    quantity: str
    sign: str
    limit: float

    def holds(self, change: float) -> bool:
        """Whether the condition is true of a change in the quantity's unit."""
        return _OPERATORS[self.sign](change, self.limit)

    def __str__(self) -> str:
        unit = " %" if QUANTITIES[self.quantity] == "%" else " points"
        return f"{self.quantity} {self.sign} {self.limit:+g}{unit}"


def parse_threshold(expression: str) -> Threshold:
    """Reads a condition.

    Args:
        expression: Quantity, comparison and number, as in ``energy > -10%``.

    Raises:
        OptionError: It has another form, its quantity is unknown, or its unit is not the quantity's.
    """
    match = _FORM.fullmatch(expression)
    if match is None:
        raise OptionError(
            f"{expression!r} is not a condition.", "It must be: quantity, comparison, number.", _EXAMPLES
        )
    quantity, sign, limit, unit = match.groups()
    if quantity not in QUANTITIES:
        hint = did_you_mean(quantity, QUANTITIES)
        raise OptionError(
            f"{quantity!r} is not a quantity that profiles can be compared by.",
            f"There are: {', '.join(QUANTITIES)}. {hint}".rstrip(),
            _EXAMPLES,
        )
    if QUANTITIES[quantity] == "%" and unit != "%":
        raise OptionError(
            f"{expression!r} does not say per cent.",
            f"A change of {quantity} is relative to the base.",
            f"Write: {quantity} {sign} {limit}%",
        )
    if QUANTITIES[quantity] == "points" and unit == "%":
        raise OptionError(
            f"{expression!r} gives per cent for a difference in points.",
            f"A change of {quantity} is a difference in percentage points.",
            f"Write: {quantity} {sign} {limit}",
        )
    return Threshold(quantity, sign, float(limit))

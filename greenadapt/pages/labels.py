"""Where the names of points go in a scatter chart, so that they cover neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LETTER_WIDTH = 6.6
_HEIGHT = 14.0
_GAP = 9.0


@dataclass(frozen=True)
class Label:
    """A placed name.

    Attributes:
        x: Anchor in pixels from the left.
        y: Anchor in pixels from the top, at the middle of the text.
        align: "left", "right" or "center": which part of the text stands at the anchor.
    """

    x: float
    y: float
    align: str


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def place(
    points: Sequence[tuple[float, float, str]], width: float, height: float, obstacles: Sequence[Box] = ()
) -> list[Label]:
    """Gives every point the freest place of: right, left, above, below, and the corners.

    Args:
        points: Pixels from the left, pixels from the top, and the name, each.
        width: Of the chart, in pixels; names stay inside.
        height: Of the chart, in pixels.
        obstacles: What names had better not cover, besides the points and each other.
    """
    taken = [*obstacles, *((x - 5, y - 5, x + 5, y + 5) for x, y, _ in points)]
    placed = []
    for x, y, name in points:
        choices = [(_box(label, name), label) for label in _choices(x, y)]
        box, label = min(
            choices, key=lambda choice: _overlap(choice[0], taken) + _outside(choice[0], width, height)
        )
        taken.append(box)
        placed.append(label)
    return placed


def _choices(x: float, y: float) -> list[Label]:
    above, below = y - _GAP - 4, y + _GAP + 4
    return [
        Label(x + _GAP, y, "left"),
        Label(x - _GAP, y, "right"),
        Label(x, above, "center"),
        Label(x, below, "center"),
        Label(x + _GAP, above, "left"),
        Label(x + _GAP, below, "left"),
        Label(x - _GAP, above, "right"),
        Label(x - _GAP, below, "right"),
    ]


def _box(label: Label, name: str) -> Box:
    width = len(name) * _LETTER_WIDTH
    left = label.x - {"left": 0.0, "center": width / 2, "right": width}[label.align]
    return (left, label.y - _HEIGHT / 2, left + width, label.y + _HEIGHT / 2)


def _overlap(box: Box, others: Sequence[Box]) -> float:
    area = 0.0
    for other in others:
        wide = min(box[2], other[2]) - max(box[0], other[0])
        high = min(box[3], other[3]) - max(box[1], other[1])
        area += max(0.0, wide) * max(0.0, high)
    return area


def _outside(box: Box, width: float, height: float) -> float:
    beyond = max(0.0, -box[0]) + max(0.0, box[2] - width) + max(0.0, -box[1]) + max(0.0, box[3] - height)
    return beyond * _HEIGHT

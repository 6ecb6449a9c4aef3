"""Cost against top-1: where the base stands, where its retrofits went, and where the rivals are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from greenadapt.pages.drawing import NARROW, PALETTE, SHAPES, cost_of, load_altair, role_scale, svg_of
from greenadapt.pages.labels import Box, place
from greenadapt.profile import Interval
from greenadapt.units import prefix_of

if TYPE_CHECKING:
    import altair

    from greenadapt.comparison.result import Comparison, Row


def tradeoff_svg(comparison: Comparison, width: int) -> str | None:
    """Cost against top-1, both with intervals; a line leads from the base to each retrofit.

    Cost is energy where a counter measured all of them, else time.

    Args:
        comparison: What to draw.
        width: Of the plot, in pixels.

    Returns:
        SVG, or None if an accuracy is missing.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    points = _points(comparison)
    if points is None:
        return None
    alt = load_altair()
    height = 220 if width <= NARROW else 380
    frame = _Frame(points, width, height)
    title, unit = cost_of(comparison)
    x = alt.X(
        "cost:Q",
        scale=alt.Scale(domain=frame.x_domain, nice=False),
        title=f"{title} ({frame.prefix}{unit}), less is better",
        axis=alt.Axis(tickCount=max(4, width // 90)),
    )
    y = alt.Y(
        "top1:Q",
        axis=alt.Axis(tickCount=6),
        scale=alt.Scale(domain=frame.y_domain, nice=False, zero=False),
        title="top-1 (%)",
    )
    layers = [*_arrows(points, frame, x, y), *_marks(points, x, y), *_names(points, frame)]
    return svg_of(alt.layer(*layers).properties(width=width, height=height))


class _Frame:
    """From data to pixels and back, with the axes' ends fixed by us."""

    def __init__(self, points: list[dict[str, Any]], width: int, height: int) -> None:
        self.width, self.height = width, height
        largest = max(point["cost_high"] for point in points)
        scale, self.prefix = prefix_of(largest)
        for point in points:
            for end in ("cost", "cost_low", "cost_high"):
                point[end] /= scale
        self.x_domain = [0.0, 1.12 * largest / scale]
        low, high = min(p["low"] for p in points), max(p["high"] for p in points)
        margin = 0.12 * max(high - low, 0.5)
        self.y_domain = [low - margin, min(100.0, high + margin)]

    def pixels(self, cost: float, top1: float) -> tuple[float, float]:
        """Pixels from the left and from the top."""
        (left, right), (bottom, top) = self.x_domain, self.y_domain
        return (cost - left) / (right - left) * self.width, (top - top1) / (top - bottom) * self.height


def _points(comparison: Comparison) -> list[dict[str, Any]] | None:
    by_energy = cost_of(comparison)[1] == "J"
    points = []
    for row in comparison.rows:
        cost = row.joules_per_inference if by_energy else row.seconds_per_inference
        if cost is None or row.top1 is None or row.top1_low is None or row.top1_high is None:
            return None
        points.append(_point(row, cost, (row.top1, row.top1_low, row.top1_high)))
    return points


def _point(row: Row, cost: Interval, top1: tuple[float, float, float]) -> dict[str, Any]:
    return {
        "name": row.name,
        "role": row.role,
        "cost": cost.mean,
        "cost_low": cost.low,
        "cost_high": cost.high,
        "top1": top1[0] * 100,
        "low": top1[1] * 100,
        "high": top1[2] * 100,
    }


def _marks(points: list[dict[str, Any]], x: Any, y: Any) -> list[altair.Chart]:
    """A mark per network with its two intervals."""
    alt = load_altair()
    chart = alt.Chart(alt.Data(values=points))
    colour = alt.Color("role:N", scale=role_scale(PALETTE), legend=None)
    shape = alt.Shape("role:N", scale=role_scale(SHAPES), legend=None)
    bar = chart.mark_rule(strokeWidth=1.5, opacity=0.6)
    mark = chart.mark_point(filled=True, size=110, opacity=1, stroke=PALETTE["paper"], strokeWidth=1)
    return [
        bar.encode(x=x, y="low:Q", y2="high:Q", color=colour),
        bar.encode(x="cost_low:Q", x2="cost_high:Q", y=y, color=colour),
        mark.encode(x=x, y=y, color=colour, shape=shape),
    ]


def _arrows(points: list[dict[str, Any]], frame: _Frame, x: Any, y: Any) -> list[altair.Chart]:
    """A line from the base to each retrofit, with a head that points where it goes."""
    alt = load_altair()
    base = points[0]
    values = []
    for point in points[1:]:
        if point["role"] != "retrofit":
            continue
        (x0, y0), (x1, y1) = (
            frame.pixels(base["cost"], base["top1"]),
            frame.pixels(point["cost"], point["top1"]),
        )
        # A triangle of Vega points up at 0 degrees; the screen's vertical axis points down.
        angle = math.degrees(math.atan2(x1 - x0, y0 - y1))
        values.append(
            {
                "cost": base["cost"],
                "top1": base["top1"],
                "cost2": point["cost"],
                "top12": point["top1"],
                "middle_cost": base["cost"] + 0.55 * (point["cost"] - base["cost"]),
                "middle_top1": base["top1"] + 0.55 * (point["top1"] - base["top1"]),
                "angle": angle,
            }
        )
    if not values:
        return []
    data = alt.Data(values=values)
    green = PALETTE["retrofit"]
    line = (
        alt.Chart(data)
        .mark_rule(color=green, strokeWidth=1.5, strokeDash=[5, 3])
        .encode(x=x, y=y, x2="cost2:Q", y2="top12:Q")
    )
    head = (
        alt.Chart(data)
        .mark_point(shape="triangle", filled=True, size=70, color=green, opacity=1)
        .encode(x="middle_cost:Q", y="middle_top1:Q", angle=alt.Angle("angle:Q", scale=None))
    )
    return [line, head]


def _names(points: list[dict[str, Any]], frame: _Frame) -> list[altair.Chart]:
    alt = load_altair()
    at = [(*frame.pixels(point["cost"], point["top1"]), point["name"]) for point in points]
    charts = []
    for point, label in zip(points, place(at, frame.width, frame.height, _lines(points, frame)), strict=True):
        chart = alt.Chart(alt.Data(values=[{"name": point["name"]}])).encode(
            text="name:N", x=alt.value(label.x), y=alt.value(label.y)
        )
        text = {"align": label.align, "baseline": "middle", "fontSize": 12, "fontWeight": 600}
        # A rim in the colour of the paper keeps the name readable where it crosses a line.
        charts.append(chart.mark_text(**text, stroke=PALETTE["paper"], strokeWidth=4, strokeJoin="round"))
        charts.append(chart.mark_text(**text, color=PALETTE["ink"]))
    return charts


def _lines(points: list[dict[str, Any]], frame: _Frame) -> list[Box]:
    """What names had better not cover: the bars of top-1, and small steps along the arrows."""
    boxes = []
    x0, y0 = frame.pixels(points[0]["cost"], points[0]["top1"])
    for point in points:
        x, y = frame.pixels(point["cost"], point["top1"])
        top, bottom = (frame.pixels(point["cost"], point[end])[1] for end in ("high", "low"))
        boxes.append((x - 2, top, x + 2, bottom))
        if point["role"] == "retrofit":
            steps = [(x0 + (x - x0) * step / 20, y0 + (y - y0) * step / 20) for step in range(20)]
            boxes += [(left - 3, above - 3, left + 3, above + 3) for left, above in steps]
    return boxes

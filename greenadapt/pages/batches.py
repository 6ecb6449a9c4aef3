"""Cost per image against the size of the batch, a line per setting, its knee ringed where settled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenadapt.pages.drawing import PALETTE, load_altair, svg_of
from greenadapt.units import prefix_of

if TYPE_CHECKING:
    from greenadapt.comparison.knees import Knee
    from greenadapt.comparison.result import Comparison

_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
_COLOURS = tuple(PALETTE[role] for role in ("base", "retrofit", "rival"))


def batches_svg(comparison: Comparison, width: int) -> str | None:
    """Cost per image against batch size, both on logarithmic scales.

    Args:
        comparison: What to draw; one across batch sizes.
        width: Of the plot, in pixels.

    Returns:
        SVG, or None if no network has two batch sizes, or their costs are not of one kind.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    knees = comparison.knees
    if not knees or len({knee.cost for knee in knees}) > 1:
        return None
    alt = load_altair()
    scale, prefix = prefix_of(max(cost for knee in knees for cost in knee.costs))
    points = [point for knee in knees for point in _points(knee, scale)]
    ticks = sorted({point["batch"] for point in points})
    x = alt.X(
        "batch:Q",
        scale=alt.Scale(type="log", nice=False),
        title="batch",
        axis=alt.Axis(values=ticks, format="d"),
    )
    unit = "J" if knees[0].cost == "energy" else "s"
    y = alt.Y(
        "cost:Q",
        scale=alt.Scale(type="log", nice=False, domain=_domain([point["cost"] for point in points])),
        title=f"{knees[0].cost} per image ({prefix}{unit})",
        axis=alt.Axis(tickCount=5),
    )
    chart = alt.Chart(alt.Data(values=points)).encode(
        x=x, y=y, **_told_apart([_name(knee) for knee in knees])
    )
    ring = chart.transform_filter("datum.knee").mark_point(size=220, strokeWidth=2, opacity=1)
    layers = alt.layer(chart.mark_line(strokeWidth=1.5, point=True), ring)
    return svg_of(layers.properties(width=width, height=240))


def _points(knee: Knee, scale: float) -> list[dict[str, Any]]:
    return [
        {"name": _name(knee), "batch": batch, "cost": cost / scale, "knee": batch == knee.batch}
        for batch, cost in zip(knee.batches, knee.costs, strict=True)
    ]


def _name(knee: Knee) -> str:
    return f"{knee.network}, {knee.setting}"


def _domain(costs: list[float]) -> list[float]:
    return [0.8 * min(costs), 1.25 * max(costs)]


def _told_apart(names: list[str]) -> dict[str, Any]:
    """Colour and dash of each line; they go round at different lengths, so that twelve can be told apart."""
    alt = load_altair()
    numbers = range(len(names))
    legend = alt.Legend(
        orient="bottom",
        columns=1,
        title=None,
        labelLimit=0,
        labelFontSize=12,
        labelColor=PALETTE["muted"],
        symbolType="stroke",
        symbolSize=400,
    )
    colours = alt.Scale(domain=names, range=[_COLOURS[number % len(_COLOURS)] for number in numbers])
    dashes = alt.Scale(domain=names, range=[_DASHES[number % len(_DASHES)] for number in numbers])
    return {
        "color": alt.Color("name:N", scale=colours, legend=legend),
        "strokeDash": alt.StrokeDash("name:N", scale=dashes, legend=legend),
    }

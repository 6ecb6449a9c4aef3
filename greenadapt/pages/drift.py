"""Every trial in the order in which it ran, so that drift of the machine shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenadapt.pages.drawing import PALETTE, SHAPES, cost_of, load_altair, role_scale, svg_of

if TYPE_CHECKING:
    from greenadapt.comparison.result import Comparison


def drift_svg(comparison: Comparison, width: int) -> str:
    """Every trial's cost against its network's mean, in the order in which they ran: drift shows as a slope.

    Args:
        comparison: What to draw; trials that do not count are hollow.
        width: Of the plot, in pixels.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    alt = load_altair()
    values = _deviations(comparison)
    reach = 1.25 * max(1.0, *(abs(each["change"]) for each in values if each["shown"] != "discarded"))
    percent = alt.Axis(tickCount=3, labelExpr="datum.label + ' %'")
    scale = alt.Scale(domain=[-reach, reach], nice=False, clamp=True)
    role = alt.Color("role:N", scale=role_scale(PALETTE), legend=None)
    filled = alt.Scale(
        domain=[*SHAPES, "discarded"], range=[*(PALETTE[each] for each in SHAPES), PALETTE["paper"]]
    )
    dots = (
        alt.Chart()
        .mark_point(size=46, strokeWidth=1.6, opacity=1)
        .encode(
            x=alt.X("started:Q", title="seconds since the start of the run", axis=alt.Axis(tickCount=6)),
            y=alt.Y("change:Q", title=None, scale=scale, axis=percent),
            stroke=role,
            fill=alt.Fill("shown:N", scale=filled, legend=None),
            shape=alt.Shape("role:N", scale=role_scale(SHAPES), legend=None),
        )
    )
    zero = alt.Chart().mark_rule(color=PALETTE["muted"], strokeWidth=0.5).encode(y=alt.datum(0))
    header = alt.Header(
        labelOrient="top", labelAnchor="start", labelFontSize=12, labelColor=PALETTE["ink"], labelPadding=2
    )
    names = [row.name for row in comparison.rows]
    chart = alt.layer(zero, dots, data=alt.Data(values=values)).properties(width=width, height=52)
    return svg_of(chart.facet(row=alt.Row("name:N", sort=names, header=header, title=None), spacing=6))


def _deviations(comparison: Comparison) -> list[dict[str, Any]]:
    """Per trial: its cost per image against the mean of its network, in per cent."""
    by_energy = cost_of(comparison)[1] == "J"
    values = []
    for row, profile in zip(comparison.rows, comparison.profiles, strict=True):
        mean = row.joules_per_inference if by_energy else row.seconds_per_inference
        for trial in profile.trials:
            spent = trial.joules if by_energy else trial.seconds
            if spent is None or mean is None:
                continue
            values.append(
                {
                    "name": row.name,
                    "role": row.role,
                    "shown": "discarded" if trial.discarded else row.role,
                    "started": trial.started_seconds,
                    "change": (spent / trial.inferences / mean.mean - 1) * 100,
                }
            )
    return values

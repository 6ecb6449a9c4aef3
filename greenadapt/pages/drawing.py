"""What the charts share: colours, shapes, type, and the way from Altair to SVG.

Colours in the SVG are place holders (`PALETTE`) that the page's style sheet overrides, so that one SVG
serves the light and the dark scheme. Every chart is drawn wide and narrow; the style sheet shows the one
that fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenadapt.errors import MissingExtraError
from greenadapt.pages import EXTRA

if TYPE_CHECKING:
    from greenadapt.comparison.result import Comparison

PALETTE = {
    "base": "#5b6470",
    "retrofit": "#12805c",
    "rival": "#b4560f",
    "ink": "#1f2328",
    "muted": "#59636e",
    "grid": "#d8dee4",
    "paper": "#ffffff",
}
"""Colour of each role and of the axes; the style sheet holds the dark ones."""

SHAPES = {"base": "circle", "retrofit": "diamond", "rival": "square"}
WIDE, NARROW = 980, 300
_FONT = "Helvetica, Arial, sans-serif"


def cost_of(comparison: Comparison) -> tuple[str, str]:
    """What the charts call cost, and its unit: energy if a counter measured all, else time."""
    if all(row.energy_kind == "measured" for row in comparison.rows):
        return "energy per image", "J"
    return "time per image", "s"


def role_scale(mapping: dict[str, str]) -> Any:
    """An Altair scale from role to colour or shape.

    Args:
        mapping: `PALETTE` or `SHAPES`.
    """
    roles = list(SHAPES)
    return load_altair().Scale(domain=roles, range=[mapping[role] for role in roles])


def svg_of(chart: Any) -> str:
    """Draws an Altair chart in the house style, as an SVG element without an XML head."""
    import vl_convert

    axis = {
        "labelColor": PALETTE["muted"],
        "titleColor": PALETTE["ink"],
        "gridColor": PALETTE["grid"],
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "titlePadding": 10,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    }
    themed = chart.configure(background="transparent", font=_FONT, axis=axis, view={"stroke": None})
    text = str(vl_convert.vegalite_to_svg(themed.to_dict(format="vega-lite")))
    return text[text.index("<svg") :]


def load_altair() -> Any:
    """The module `altair`.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
    """
    try:
        import altair
    except ImportError as error:
        raise MissingExtraError("A chart", EXTRA) from error
    return altair

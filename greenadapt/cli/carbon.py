"""Options about carbon: which grids, and what is known beside the joules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli.options import packed

if TYPE_CHECKING:
    from greenadapt.carbon import CarbonInputs

carbon_options = packed(
    "grids",
    click.option(
        "--place",
        "places",
        multiple=True,
        metavar="ISO",
        help="Country of the grid, such as FRA; repeatable.",
    ),
    click.option(
        "--intensity",
        metavar="G[:SOURCE]",
        help="A grid of your own: g CO2e per kWh and its source, such as 56:RTE.",
    ),
    click.option(
        "--pue", type=click.FloatRange(min=1), help="The building's PUE; its own figure, never in the joules."
    ),
    click.option(
        "--embodied-grams",
        type=click.FloatRange(min=0, min_open=True),
        help="Grams CO2e for making the hardware; with --lifetime-years.",
    ),
    click.option(
        "--lifetime-years",
        type=click.FloatRange(min=0, min_open=True),
        help="How many years the hardware will work.",
    ),
    click.option(
        "--hardware-share",
        type=click.FloatRange(min=0, min_open=True, max=1),
        help="How much of that hardware is used, such as 0.125 for one board of eight.  [default: 1]",
    ),
)
"""Adds what carbon is worked out from, as ``grids``; `carbon_inputs` takes it."""


def carbon_inputs(grids: Mapping[str, Any]) -> CarbonInputs:
    """What carbon is worked out from, with the values of `carbon_options`.

    Raises:
        OptionError: A place is not known, an intensity is no number, or there is no grid at all.
        click.UsageError: Only one of embodied grams and lifetime is there.
    """
    from greenadapt.carbon import CarbonInputs, given_grid

    inputs = CarbonInputs(
        places=grids["places"],
        grids=() if grids["intensity"] is None else (given_grid(grids["intensity"]),),
        pue=grids["pue"],
        embodied=_embodied(grids["embodied_grams"], grids["lifetime_years"], grids["hardware_share"]),
    )
    inputs.wanted()
    return inputs


def _embodied(grams: float | None, years: float | None, share: float | None) -> Any:
    from greenadapt.profile import Embodied

    if grams is None and years is None and share is None:
        return None
    if grams is None or years is None:
        raise click.UsageError("Embodied carbon takes --embodied-grams and --lifetime-years together.")
    return Embodied(total_grams=grams, lifetime_years=years, share=share or 1.0, source="given by the user")

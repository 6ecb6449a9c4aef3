from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from pydantic import ValidationError

from greenadapt.carbon import CarbonInputs, Grid, again, given_grid, grid_of, places
from greenadapt.errors import OptionError
from greenadapt.profile import Carbon, Embodied


def test_the_intensity_is_codecarbons():
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    kilograms = Emissions(DataSource()).get_country_emissions(
        Energy.from_energy(kWh=1.0), GeoMetadata(country_iso_code="FRA", country_name="France")
    )
    assert grid_of("fra").grams_per_kwh == pytest.approx(1000 * kilograms)
    assert (grid_of("FRA").name, grid_of("FRA").place) == ("France", "FRA")


def test_grams_follow_from_joules():
    (carbon,) = figures(places=("SWE",))
    assert carbon.grams_per_1000_inferences == pytest.approx(carbon.grams_per_kwh)
    assert carbon.kind == "measured"
    assert carbon.year is not None
    assert carbon.year > 2000
    assert "CodeCarbon" in carbon.source


@pytest.mark.parametrize(
    ("place", "hint"), [("FRE", "FRA"), ("France", "FRA"), ("ZZZ", "such as|Did you mean"), (" ", "such as")]
)
def test_an_unknown_place_is_an_error_with_a_hint(place, hint):
    with pytest.raises(OptionError, match=hint):
        grid_of(place)


def test_every_place_has_an_intensity():
    assert len(places()) > 200
    # One country (CAF) runs on water alone; the table gives it 0.
    assert sum(grid_of(place).grams_per_kwh <= 0 for place in places()) <= 1


@pytest.mark.parametrize("intensity", [-5.0, float("nan"), float("inf")])
def test_a_grid_without_a_possible_intensity_is_refused(intensity):
    with pytest.raises(OptionError, match="no such intensity"):
        Grid("home", "home", intensity, None, "mine")
    assert Grid("home", "home", 0.0, None, "mine").grams_per_kwh == 0


def test_codecarbon_is_not_imported_for_it():
    code = (
        "import json, sys; from greenadapt.carbon import grid_of; grid_of('DEU'); "
        "print(json.dumps([m for m in ('codecarbon', 'pandas', 'torch') if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []


def figures(seconds: float = 0.5, **inputs: object) -> list[Carbon]:
    return CarbonInputs(**inputs).figures(3600.0, seconds, "measured")  # type: ignore[arg-type]


def test_without_more_inputs_there_are_no_more_figures():
    (carbon,) = figures(places=("SWE",))
    assert carbon.pue is None
    assert carbon.facility_grams_per_1000_inferences is None
    assert carbon.embodied_grams_per_1000_inferences is None
    assert carbon.sci_grams_per_1000_inferences is None


def test_several_places_and_a_grid_of_ones_own_stand_side_by_side():
    mine = given_grid("56:RTE, mean of 2024")
    carbons = figures(places=("swe", "POL", "SWE"), grids=(mine,))
    assert [carbon.place for carbon in carbons] == ["SWE", "POL", "given"]
    # 3600 J are 1/1000 kWh, so that 1000 inferences are one kilowatt-hour.
    assert [c.grams_per_1000_inferences for c in carbons] == pytest.approx(
        [grid_of("SWE").grams_per_kwh, grid_of("POL").grams_per_kwh, 56.0]
    )
    assert (carbons[2].source, carbons[2].year) == ("RTE, mean of 2024", None)
    assert given_grid("56").source == "given by the user"


def test_the_pue_is_a_figure_of_its_own():
    (carbon,) = figures(grids=(given_grid("100"),), pue=1.2)
    assert carbon.grams_per_1000_inferences == pytest.approx(100.0)
    assert carbon.facility_grams_per_1000_inferences == pytest.approx(120.0)
    assert carbon.sci_grams_per_1000_inferences is None  # the embodied part is unknown, which is not zero


def test_embodied_carbon_follows_the_specification():
    # 150 kg over 4 years of one board of 8, half a second an inference.
    embodied = Embodied(total_grams=150_000, lifetime_years=4, share=0.125)
    (carbon,) = figures(grids=(given_grid("100"),), pue=1.2, embodied=embodied)
    years = 4 * 365.25 * 24 * 60 * 60
    assert carbon.embodied_grams_per_1000_inferences == pytest.approx(1000 * 150_000 * 0.5 / years / 8)
    assert carbon.sci_grams_per_1000_inferences == pytest.approx(
        120.0 + (carbon.embodied_grams_per_1000_inferences or 0.0)
    )
    (without,) = figures(grids=(given_grid("100"),), embodied=embodied)
    assert without.sci_grams_per_1000_inferences == pytest.approx(
        100.0 + (carbon.embodied_grams_per_1000_inferences or 0.0)
    )


def test_a_board_that_is_twice_as_fast_bears_half_of_its_making():
    embodied = Embodied(total_grams=150_000, lifetime_years=4)
    slow, fast = (
        figures(seconds, grids=(given_grid("100"),), embodied=embodied)[0] for seconds in (0.4, 0.2)
    )
    assert slow.embodied_grams_per_1000_inferences == pytest.approx(
        2 * (fast.embodied_grams_per_1000_inferences or 0.0)
    )


def test_figures_can_be_worked_out_again_from_what_is_stored():
    (carbon,) = figures(
        places=("FRA",), pue=1.3, embodied=Embodied(total_grams=1e5, lifetime_years=5, share=0.5)
    )
    assert again(carbon, 3600.0, 0.5) == carbon
    forged = carbon.model_copy(update={"sci_grams_per_1000_inferences": 0.1})
    assert again(forged, 3600.0, 0.5) == carbon


@pytest.mark.parametrize("text", ["", "clean", "0", "-5", "nan", "inf:sun", ":56"])
def test_an_intensity_is_a_number_above_zero(text):
    with pytest.raises(OptionError, match="no intensity"):
        given_grid(text)


@pytest.mark.parametrize("pue", [0.9, 0.0, -1.0, math.nan, math.inf])
def test_a_pue_below_one_is_an_error(pue):
    with pytest.raises(OptionError, match="PUE"):
        CarbonInputs(places=("FRA",), pue=pue)


def test_inputs_without_any_grid_are_an_error():
    with pytest.raises(OptionError, match="no grid"):
        CarbonInputs(pue=1.2).wanted()
    with pytest.raises(OptionError, match="one name"):
        CarbonInputs(grids=(given_grid("1"), given_grid("2"))).wanted()
    with pytest.raises(OptionError, match="not known"):
        CarbonInputs(places=("XXX",)).wanted()
    assert CarbonInputs().wanted() == []
    assert [grid.place for grid in CarbonInputs(["FRA"], pue=1.2).at(["fra", "swe"]).wanted()] == [
        "FRA",
        "SWE",
    ]


@pytest.mark.parametrize(
    "wrong", [{"total_grams": 0}, {"lifetime_years": 0}, {"share": 0}, {"share": 1.1}, {"total_grams": -1}]
)
def test_embodied_carbon_out_of_range_is_refused(wrong):
    with pytest.raises(ValidationError):
        Embodied(**({"total_grams": 1.0, "lifetime_years": 1.0} | wrong))

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from greenadapt.carbon import carbon_at, grid_of, places
from greenadapt.errors import OptionError


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
    (carbon,) = carbon_at(3600.0, "measured", ["SWE"])
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


def test_codecarbon_is_not_imported_for_it():
    code = (
        "import json, sys; from greenadapt.carbon import grid_of; grid_of('DEU'); "
        "print(json.dumps([m for m in ('codecarbon', 'pandas', 'torch') if m in sys.modules]))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []

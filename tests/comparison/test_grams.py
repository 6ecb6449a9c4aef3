"""Carbon of several networks: a line per place in the text, figures in JSON and CSV."""

import csv
import io
import json

from greenadapt.carbon import CarbonInputs, given_grid
from greenadapt.comparison import compare
from greenadapt.errors import did_you_mean
from greenadapt.profile import Embodied
from tests.factories import profile

INPUTS = CarbonInputs(
    grids=(given_grid("100:me"),),
    pue=1.5,
    embodied=Embodied(total_grams=150_000, lifetime_years=4),
)


def made():
    return compare(
        profile("base", carbon=INPUTS.figures(0.36, 0.01, "measured")),
        profile("thin", carbon=INPUTS.figures(0.18, 0.01, "measured")),
        profile("bare"),
    )


def test_a_line_per_place_has_all_networks_and_its_inputs():
    (line,) = made().carbon
    assert line.startswith("carbon given, g CO2e per 1,000 images in table order: 0.01, 0.005, unknown; ")
    assert "at a PUE of 1.5: 0.015, 0.0075, unknown" in line
    assert "embodied: " in line
    assert "SCI: " in line
    assert line.endswith("(100 g/kWh, me; energy measured)")
    assert line in str(made())
    assert f"- {line}" in made().to_markdown()


def test_without_a_place_nothing_is_said():
    plain = compare(profile(), profile("thin"))
    assert plain.carbon == []
    assert "carbon" not in str(plain)
    assert not any("carbon" in field for field in plain.to_rows()[0])


def test_programs_get_the_figures_with_their_inputs():
    (place,) = json.loads(made().to_json())["carbon"]
    assert (place["place"], place["grams_per_kwh"], place["pue"]) == ("given", 100.0, 1.5)
    assert [each["name"] for each in place["networks"]] == ["base", "thin", "bare"]
    assert place["networks"][2]["grams_per_1000_inferences"] is None
    rows = list(csv.DictReader(io.StringIO(made().to_csv())))
    assert (
        float(rows[1]["carbon_given_grams_per_1000_inferences"])
        == place["networks"][1]["grams_per_1000_inferences"]
    )
    assert rows[2]["carbon_given_sci_grams_per_1000_inferences"] == ""


def test_two_intensities_of_one_place_are_told_apart():
    other = CarbonInputs(grids=(given_grid("200:me"),))
    mixed = compare(
        profile("base", carbon=INPUTS.figures(0.36, 0.01, "measured")),
        profile("thin", carbon=other.figures(0.18, 0.01, "measured")),
    )
    assert len(mixed.carbon) == 2
    fields = mixed.to_rows()[0]
    assert {"carbon_given_grams_per_1000_inferences", "carbon_given_200_grams_per_1000_inferences"} <= set(
        fields
    )


def test_a_name_is_offered_once():
    assert did_you_mean("precison", ["precision", "precision"]) == "Did you mean precision?"

import numpy as np

from greenadapt.carbon import CarbonInputs, given_grid
from greenadapt.comparison.table import quantity
from greenadapt.profile import Carbon, Embodied, Interval, Validity
from greenadapt.profile_text import profile_facts, profile_text
from greenadapt.statistics import execution_of
from greenadapt.units import with_prefix
from tests.factories import ESTIMATED, profile
from tests.test_decisions import adaptive


def facts(made):
    return dict(profile_facts(made))


def test_figures_stand_with_their_intervals_and_kind():
    told = facts(profile())
    assert told["energy/image"].endswith(", measured")
    assert "±" in told["time/image"]
    assert told["FLOPs/image"] == "80.0 M (2 x MAC)"
    assert "200 images of fashion-mnist-2000" in told["top-1"]
    assert told["idle power"] == "10.0 W"


def test_estimates_and_unknowns_say_what_they_are():
    assert "estimated: constant power x time" in facts(profile(method=ESTIMATED))["energy/image"]
    none = ESTIMATED.model_copy(update={"kind": None, "meter": None, "why_not": "No counter here."})
    told = facts(profile(watts=None, method=none, correct=None, macs=None))
    assert told["energy/image"] == "unknown: No counter here."
    assert told["top-1"] == "not measured"
    assert "FLOPs/image" not in told
    assert "idle power" not in told


def test_carbon_stands_with_place_source_and_year():
    carbon = Carbon(
        place="FRA",
        grams_per_kwh=56.0,
        source="CodeCarbon",
        year=2023,
        grams_per_1000_inferences=0.0008,
        kind="measured",
    )
    text = facts(profile(carbon=[carbon]))["carbon FRA"]
    assert text == "0.0008 g CO2e per 1,000 images (56 g/kWh, CodeCarbon, 2023; energy measured)"


def test_reasons_stand_with_the_validity():
    doubt = Validity(status="suspect", reasons=["The time scatters.", "A quick plan."])
    assert facts(profile(validity=doubt))["validity"] == "suspect:\nThe time scatters.\nA quick plan."
    lines = profile_text(profile(validity=doubt)).splitlines()
    at = lines.index("validity      suspect:")
    assert lines[at + 1 : at + 3] == [" " * 14 + "- The time scatters.", " " * 14 + "- A quick plan."]


def test_names_are_aligned():
    lines = profile_text(profile()).splitlines()[3:]
    assert (
        len({len(line) - len(line[line.index("  ") :].lstrip()) for line in lines if "energy" in line}) == 1
    )


def test_building_and_hardware_stand_beside_the_electricity():
    given = CarbonInputs(
        grids=(given_grid("100:me"),),
        pue=1.2,
        embodied=Embodied(total_grams=150_000, lifetime_years=4, share=0.125, source="its maker"),
    )
    told = facts(profile(carbon=given.figures(0.36, 0.01, "measured")))
    assert told["carbon given"].startswith("0.01 g CO2e per 1,000 images (100 g/kWh, me; ")
    assert told["given with PUE"] == "0.012 g per 1,000 images at a PUE of 1.2"
    assert told["given embodied"].endswith("(150 kg over 4 years, 0.125 of it; its maker)")
    assert told["given SCI"].startswith("0.0135 g")


def test_an_interval_has_one_notation_here_and_in_the_table_and_ends_where_sides_differ():
    def told(low, high):
        return quantity(Interval(mean=1.0, low=low, high=high, trials=4), "J")

    assert told(0.9, 1.1) == "1.00 J ±10 %"
    assert told(0.9, 1.3) == "1.00 J (900 mJ to 1.30 J)"
    assert told(-0.2, 2.2) == "1.00 J (-200 mJ to 2.20 J)"


def test_decisions_are_told_in_a_few_lines():
    made = adaptive()
    run = made.execution
    told = facts(made)
    assert told["blocks kept"].startswith(f"{run.blocks_kept_mean:.2f} of 6 on average, from ")
    assert told["blocks kept"].endswith(f"{run.paths} paths")
    assert told["blocks"].count("layer.") == 6
    assert told["classes"].count("class ") == 5
    first = run.commonest[0]
    joules = with_prefix(first.cost.joules_per_inference, "J")
    assert f"{first.path}: {first.share * 100:.3g} % of the images, top-1 " in told["paths"]
    assert f"{joules}/image, measured" in told["paths"]
    assert "energy of a path unknown: No reading." in told["paths"]
    assert f"; {run.paths - 2} more" in told["paths"].splitlines()[0]


def test_decisions_of_many_blocks_and_classes_are_bounded():
    random = np.random.default_rng(0)
    run = execution_of(random.random((3000, 60)) < 0.5, np.arange(3000) % 1000, random.random(3000) < 0.5)
    told = facts(profile(execution=run))
    assert "54 in between" in told["blocks"]
    assert "994 in between" in told["classes"]
    assert len(told["paths"].splitlines()) < 10


def test_a_fixed_path_is_one_line():
    run = execution_of(np.tile([True, False], (9, 1)), np.zeros(9, int), np.ones(9, bool))
    told = facts(profile(execution=run))
    assert told["blocks kept"] == "1.00 of 2 on average, 1 path"
    assert not {"blocks", "classes", "paths"} & set(told)

"""The commands on a page ask for what the profiles record, and say what they cannot."""

import shlex

from click.testing import CliRunner

from greenadapt.carbon import CarbonInputs, given_grid
from greenadapt.cli import cli
from greenadapt.comparison import compare
from greenadapt.pages import again
from greenadapt.pages.comparison import comparison_page
from greenadapt.profile import Embodied, Plan
from greenadapt.recipe import Base, Recipe
from tests.factories import profile


def opened(name, weights="random", **changes):
    """A profile of a network that a source opened by name."""
    made = profile(name, **changes)
    base = Base(name=name, model_args={"num_classes": 10, "shortcut": "avgpool"}, weights=weights)
    subject = made.subject.model_copy(update={"recipe": Recipe(base=base), "weights": weights})
    return made.model_copy(update={"subject": subject})


def asked(*profiles, **changes):
    return shlex.split(again.commands(compare(*profiles, **changes), [])[0])


def value(words, option):
    return words[words.index(option) + 1]


def test_every_option_that_the_profiles_record_is_there_and_the_command_line_takes_it():
    plan = Plan(
        trials=6, trial_seconds=2, target_fraction=0.02, budget_seconds=60, meter="nvml:all", device="cpu"
    )
    carbon = CarbonInputs(
        grids=(given_grid("56:me"),), pue=1.2, embodied=Embodied(total_grams=1e5, lifetime_years=4, share=0.5)
    ).figures(0.3, 0.01, "measured")
    words = asked(opened("a", plan=plan, carbon=carbon), opened("b", plan=plan, carbon=carbon))
    expected = {
        "--trials": "6",
        "--trial-seconds": "2",
        "--target-fraction": "0.02",
        "--budget-seconds": "60",
        "--meter": "nvml:all",
        "--device": "cpu",
        "--num-classes": "10",
        "--model-arg": "shortcut=avgpool",
        "--intensity": "56:me",
        "--pue": "1.2",
        "--embodied-grams": "100000",
        "--lifetime-years": "4",
        "--hardware-share": "0.5",
    }
    assert {option: value(words, option) for option in expected} == expected
    assert "--no-pretrained" in words
    dry = CliRunner().invoke(cli, [*words[1:], "--dry-run"])
    assert dry.exit_code == 0, dry.output


def test_what_is_usual_is_left_out_and_pretrained_weights_are_not_denied():
    words = asked(opened("a", "pretrained", plan=Plan()), opened("b", "pretrained", plan=Plan()))
    for option in ("--no-pretrained", "--meter", "--device", "--target-fraction", "--place", "--pue"):
        assert option not in words


def test_settings_without_an_option_of_their_own_are_swept():
    plan = Plan(compile=True, memory_format="contiguous")
    words = asked(opened("a", plan=plan), opened("b", plan=plan))
    assert "compile=on" in words
    assert "format=contiguous" in words


def test_what_cannot_be_repeated_is_said_on_the_page():
    plan = Plan(seed=7, target_fraction=None)
    made = compare(opened("a", plan=plan), opened("b", plan=plan))
    told = " ".join(again.remarks(made))
    assert "seed=7, target_fraction=None" in told
    assert "draws others" in told
    assert "200 images of 1x28x28 px" in told
    page = comparison_page(made)
    assert all(remark.split(";")[0] in page for remark in again.remarks(made))

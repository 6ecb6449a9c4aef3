"""What `audit --dry-run` finds out before anything is opened, and how it words a plan."""

import pytest

from greenadapt.cli.plans import outlook, outlook_words
from greenadapt.profile import Plan
from tests.factories import profile


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--meter", "nvlm"), "Did you mean nvml?"),
        (("--meter", "nvlm:0"), "There is no meter 'nvlm'."),
        (("--place", "FRE"), "FRE"),
        (("--sweep", "precision=fp33"), "precision takes fp32, fp16, bf16."),
    ],
)
def test_a_dry_run_refuses_what_the_audit_would_refuse(call, arguments, words):
    result = call("audit", "m", "--dry-run", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("meter", ["auto", "none", "nvml:7"])
def test_a_dry_run_opens_no_meter(call, meter):
    assert call("audit", "m", "--dry-run", "--meter", meter).exit_code == 0


def test_a_misspelt_name_is_offered_once_and_without_aliases(call, tmp_path):
    assert "Did you mean precision?" in call("audit", "m", "--sweep", "precison=fp32").stderr
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(profile(name).to_json())
    refused = call("compare", tmp_path / "a.json", tmp_path / "b.json", "--across", "bach")
    assert "Did you mean batch?" in refused.stderr


def test_one_model_has_a_figure_of_its_own_and_several_have_ratios():
    assert "its own figure within ±1 %" in outlook_words(outlook(Plan(), ["a"], {}))
    assert "the ratios within ±1 %" in outlook_words(outlook(Plan(), ["a", "b"], {}))


@pytest.mark.parametrize("plan", [Plan.quick_look(), Plan(target_fraction=None), Plan(budget_seconds=0)])
def test_a_plan_without_a_second_stage_says_so(plan):
    words = outlook_words(outlook(plan, ["a", "b"], {}))
    assert "no second stage" in words
    assert "within" not in words


def test_differences_that_across_could_take_are_told_from_those_that_it_cannot(call, tmp_path):
    (tmp_path / "a.json").write_text(profile("a").to_json())
    other = profile("b", conditions={"precision": "bf16", "device": "another"})
    (tmp_path / "b.json").write_text(other.to_json())
    told = call("compare", tmp_path / "a.json", tmp_path / "b.json").stderr
    assert "--across could take precision, but not device: audit both in one command" in told


def test_a_folder_of_profiles_lists_them(call, tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(profile(name).to_json())
    (tmp_path / "other.json").write_text("{}")
    told = call("show", tmp_path)
    assert told.exit_code == 2
    assert "The profiles in it are: a.json, b.json." in told.stderr
    (tmp_path / "empty").mkdir()
    assert "no other profile" in call("show", tmp_path / "empty").stderr

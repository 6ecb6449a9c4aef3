import sys

import pytest

from greenadapt.pages.card import model_card
from greenadapt.profile import Validity
from greenadapt.recipe import Base, Recipe
from tests.factories import ESTIMATED, profile, training


def front_matter(card):
    """The front matter's lines; a YAML reader is not among our dependencies."""
    lines = card.splitlines()
    assert lines[0] == "---"
    return lines[1 : lines.index("---", 1)]


@pytest.fixture
def audited():
    return profile("thin", adapter="blockdrop", trained=(training(),))


def test_front_matter_has_what_the_hub_reads(audited):
    head = front_matter(model_card(audited.subject.recipe, audited))
    assert "library_name: greenadapt" in head
    assert "- blockdrop" in head
    assert "    - type: accuracy" in head
    assert "      value: 0.9" in head


@pytest.mark.parametrize(
    ("base", "line"),
    [
        (Base(name="resnet50.a1_in1k"), 'base_model: "timm/resnet50.a1_in1k"'),
        (Base(source="hf-hub", name="me/net"), 'base_model: "me/net"'),
        (Base(name="cifar_resnet20", weights="trained"), None),
        (Base(name="resnet50", weights="random"), None),
    ],
)
def test_the_base_model_is_named_only_if_the_hub_has_it(base, line):
    head = front_matter(model_card(Recipe(base=base, adapter="blockdrop"), None))
    assert [each for each in head if each.startswith("base_model")] == ([line] if line else [])


def test_a_model_loads_in_three_lines(audited):
    card = model_card(audited.subject.recipe, audited)
    code = card.split("```python\n")[1].split("```")[0].strip().splitlines()
    assert len(code) == 3
    assert code[1] == 'model = greenadapt.load("path/to/this/folder")'
    assert "[B, 1, 28, 28]" in code[2]


def test_the_numbers_stand_with_their_conditions(audited):
    card = model_card(audited.subject.recipe, audited)
    assert "On Test CPU, 2 threads, batch 32, fp32, 1x28x28 px" in card
    assert "| energy/image | 51." in card
    assert "90.00 %" in card


def test_the_training_is_told_with_its_energy_and_curve(audited):
    card = model_card(audited.subject.recipe, audited)
    assert "2 epochs of 60,000 images of fashion-mnist" in card
    assert "900 J (measured)" in card
    assert "| 2 | 0.4 | 90.00 % |" in card
    unknown = profile("thin", adapter="blockdrop", trained=(training(None),))
    assert "energy: unknown" in model_card(unknown.subject.recipe, unknown)


def test_a_long_curve_is_thinned_but_keeps_both_ends():
    run = training().model_copy(update={"curve": [{"loss": float(epoch)} for epoch in range(50)]})
    card = model_card(Recipe(base=Base(name="net"), training=[run]), None)
    shown = [
        int(line.split("|")[1]) for line in card.splitlines() if line.startswith("|") and line[2].isdigit()
    ]
    assert (shown[0], shown[-1], len(shown)) == (1, 50, 8)


def test_caveats_are_said():
    doubted = profile(
        "thin",
        adapter="blockdrop",
        method=ESTIMATED,
        correct=None,
        validity=Validity(status="suspect", reasons=["Heat throttled the board."]),
    )
    notes = model_card(doubted.subject.recipe, doubted).split("## Before you rely on it")[1]
    for words in ("nothing measured it", "suspect", "Heat throttled", "not measured", "not trained after"):
        assert words in notes


def test_no_audit_is_said_and_nothing_is_filled_in():
    card = model_card(Recipe(base=Base(name="net"), adapter="biglittle"), None)
    assert "Not audited yet" in card
    assert "None" not in card
    assert "More Information Needed" not in card


def test_a_card_needs_none_of_the_packages_that_draw_pages(monkeypatch, audited):
    for module in ("altair", "vl_convert", "jinja2"):
        monkeypatch.setitem(sys.modules, module, None)
    assert model_card(audited.subject.recipe, audited)

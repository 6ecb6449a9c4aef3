import base64
import json
import re
import sys
from html.parser import HTMLParser

import pytest

from greenadapt.comparison import compare
from greenadapt.comparison import table as comparison_table
from greenadapt.errors import MissingExtraError
from greenadapt.pages.batches import batches_svg
from greenadapt.pages.comparison import comparison_page
from greenadapt.pages.drawing import NARROW, PALETTE, WIDE
from greenadapt.pages.drift import drift_svg
from greenadapt.pages.tradeoff import tradeoff_svg
from greenadapt.profile import Profile, Validity
from tests.factories import ESTIMATED, profile

VOID = {"meta", "br", "img", "input", "link", "hr"}


class Page(HTMLParser):
    """The page as a reader gets it: its tags in order, its text, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def comparison(**changes):
    return compare(
        profile("base", **changes),
        profile("thin", seconds=0.7e-3, adapter="blockdrop", macs=24e6, correct=178, **changes),
        profile("small", seconds=0.4e-3, macs=12e6, correct=179, **changes),
    )


@pytest.fixture(scope="module")
def page():
    return Page(comparison_page(comparison(), ["base.json", "thin.json", "small.json"]))


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(page):
    assert "script" not in page.tags
    for tag, attributes in page.attributes:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith(("data:", "#")), (tag, name)
    assert "@import" not in page.text
    assert "url(" not in page.text


def test_the_table_has_every_cell_of_the_printed_one(page):

    for row in comparison_table.cells(comparison()):
        for cell in row:
            for line in cell.split("\n"):
                assert re.sub(r"(?<![\w-])-(?=\d)", "−", line) in page.text
    assert page.tags.count("tr") == 1 + 3
    scopes = [attributes.get("scope") for tag, attributes in page.attributes if tag == "th"]
    assert scopes.count("row") == 3
    assert scopes.count("col") == len(comparison_table.columns(comparison()))


def test_the_answer_stands_on_a_card_with_whom_it_loses_to(page):
    cards = page.text.split("All numbers")[0]
    assert "What thin saves" in cards
    assert "loses to small" in cards
    assert "beats base" in cards
    assert "−30" in cards


def test_conditions_method_caveats_and_commands_are_there(page):
    for text in (
        "Test CPU",
        "batch 32",
        "measured (nvml, gpu",
        "2 x MAC",
        "greenadapt audit timm:base timm:thin",
    ):
        assert text in page.text
    assert "greenadapt compare base.json thin.json small.json" in page.text


def test_the_profiles_can_be_downloaded_from_the_page_itself(page):
    links = {a["download"]: a["href"] for tag, a in page.attributes if tag == "a" and "download" in a}
    assert set(links) == {"comparison.csv", "comparison.json", "base.json", "thin.json", "small.json"}
    kind, _, content = links["thin.json"].partition(";base64,")
    assert kind == "data:application/json"
    assert Profile.model_validate_json(base64.b64decode(content)) == comparison().profiles[1]
    json.loads(base64.b64decode(links["comparison.json"].partition(",")[2]))


def test_estimates_say_so_and_the_charts_show_time():
    text = Page(comparison_page(comparison(method=ESTIMATED))).text
    assert "estimated: constant power x time" in text
    assert "Time per image against accuracy" in text
    assert "energy per image (" not in text


def test_a_page_without_accuracy_leaves_the_tradeoff_out():
    text = Page(comparison_page(compare(profile(correct=None), profile("thin", correct=None)))).text
    assert "against accuracy" not in text
    assert "Every trial" in text


def test_a_doubtful_audit_is_said_at_the_top():
    doubt = Validity(status="suspect", reasons=["The time scatters."])
    text = Page(comparison_page(comparison(validity=doubt))).text
    assert text.index("Every audit here is suspect") < text.index("All numbers")
    assert "The time scatters." in text


def test_names_are_escaped():
    evil = "<img src=x onerror=alert(1)>"
    page = Page(comparison_page(compare(profile(), profile(evil, adapter="blockdrop"))))
    assert "img" not in page.tags
    assert evil in page.text


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_colour_of_a_chart_follows_the_scheme(width):
    for svg in (tradeoff_svg(comparison(), width), drift_svg(comparison(), width)):
        colours = set(re.findall(r'(?:fill|stroke)="(#[0-9a-fA-F]+|rgb[^"]*)"', svg))
        assert colours
        assert colours <= set(PALETTE.values())


def test_the_drift_chart_has_a_dot_per_trial_and_hollow_ones_for_the_discarded():
    made = comparison()
    svg = drift_svg(made, WIDE)
    dots = re.findall(r'<path aria-label="[^"]*role: (\w+)[^"]*"[^>]*', svg)
    assert len(dots) == sum(len(each.trials) for each in made.profiles)
    hollow = svg.count("shown: discarded")
    assert hollow == len(made.profiles)


def test_the_tradeoff_chart_names_every_network_and_draws_an_arrow_per_retrofit():
    svg = tradeoff_svg(comparison(), WIDE)
    for name in ("base", "thin", "small"):
        assert f">{name}</text>" in svg
    assert svg.count('stroke-dasharray="5,3"') == 1


@pytest.mark.parametrize("module", ["altair", "vl_convert", "jinja2"])
def test_without_the_extra_the_error_is_the_command_that_installs_it(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'greenadapt\[pages\]'"):
        comparison_page(comparison())


def test_across_settings_the_cheapest_has_the_card_and_the_findings_are_told():
    made = compare(
        profile("net@fp32", seconds=1e-3),
        profile("net@bf16", seconds=0.6e-3, conditions={"precision": "bf16"}),
        profile("net@b8", seconds=0.9e-3, conditions={"batch_size": 8}),
        across=["precision", "batch"],
    )
    page = Page(comparison_page(made, ["a.json", "b.json", "c.json"]))
    cards = page.text.split("All numbers")[0]
    assert "What other settings make of net" in cards
    assert "net@bf16 bf16, batch 32" in cards
    assert "beats net@fp32" in cards
    for finding in made.findings:
        assert (
            re.sub(r"(?<![\w-])-(?=\d)", "−", finding).replace("5 %", "5\N{NO-BREAK SPACE}%")[:40]
            in page.text
        )
    assert "greenadapt audit timm:net@fp32" in page.text
    assert "--sweep precision=fp32,bf16 --sweep batch=32,8" in page.text
    assert "greenadapt compare a.json b.json c.json --across precision,batch" in page.text


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_cost_is_drawn_against_the_batch_with_a_ring_at_the_knee(width):
    made = compare(
        *(
            profile(f"net@{p},b{b}", seconds=1e-3 * (1 + 3 / b), conditions={"batch_size": b, "precision": p})
            for p in ("fp32", "bf16")
            for b in (1, 8, 32)
        ),
        across=["precision", "batch"],
    )
    svg = batches_svg(made, width)
    assert "net, fp32, eager, channels_last" in svg
    assert "net, bf16, eager, channels_last" in svg
    assert "energy per image (mJ)" in svg
    assert batches_svg(comparison(), width) is None

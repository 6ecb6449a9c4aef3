"""The page of one profile, with what an adaptive network decides."""

from __future__ import annotations

import base64
import io
import re
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import greenadapt
from greenadapt.data import ImageArrays
from greenadapt.errors import DataError, MissingExtraError
from greenadapt.pages.decisions import SHOWN_CLASSES, SHOWN_PATHS, decisions_content, histogram_svg
from greenadapt.pages.profile import profile_page
from greenadapt.pages.thumbnails import SIDE, thumbnails
from greenadapt.profile import Execution, Profile, Validity
from greenadapt.statistics import execution_of, unpack_hits
from tests.factories import profile
from tests.pages.test_comparison_page import Page
from tests.test_decisions import adaptive, decisions


@pytest.fixture(scope="module")
def made() -> Profile:
    return adaptive()


@pytest.fixture(scope="module")
def page(made) -> Page:
    return Page(profile_page(made))


def pictures_of(page: Page) -> list[str]:
    return [value["src"] for tag, value in page.attributes if tag == "img"]


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs(page):
    assert "script" not in page.tags
    for tag, attributes in page.attributes:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action"):
                assert value.startswith(("data:", "#")), (tag, name)
    assert "url(" not in page.text


def test_the_profile_itself_is_inside(page, made):
    (link,) = [value["href"] for tag, value in page.attributes if tag == "a"]
    assert Profile.model_validate_json(base64.b64decode(link.partition(",")[2])) == made


def test_every_block_has_a_bar_of_its_share(page, made):
    run = made.execution
    for name, share in zip(run.block_names, run.block_shares, strict=True):
        assert re.search(rf"{re.escape(name)} {share * 100:.1f}\s%", page.text)
    widths = [
        value["style"] for tag, value in page.attributes if tag == "span" and value.get("class") == "bar"
    ]
    assert widths[: run.blocks] == [f"width: {share * 100:.2f}%" for share in run.block_shares]


def test_every_class_and_path_has_its_row(page, made):
    run = made.execution
    for each in run.classes:
        assert re.search(
            rf"class {each.label} {each.blocks_kept_mean:.2f} {each.images} {each.top1 * 100:.1f}", page.text
        )
    shown = [v["aria-label"] for _, v in page.attributes if v.get("aria-label", "").startswith("path ")]
    assert shown == [f"path {each.path}" for each in run.commonest[:SHOWN_PATHS]]
    left = run.paths - SHOWN_PATHS
    assert f"{left} further paths are taken by the other" in page.text


def test_measured_energy_has_a_column_and_unknown_energy_a_reason(page, made):
    cost = made.execution.commonest[0].cost
    assert "measured, gross" in page.text
    assert f"{1000 * cost.joules_per_inference:.3g}" in page.text
    assert re.search(r"Energy of 1 path unknown: No reading\.", page.text)


def test_no_column_for_what_nobody_measured(made):
    run = made.execution
    bare = [each.model_copy(update={"cost": None}) for each in run.commonest]
    told = Page(profile_page(adaptive(commonest=bare)))
    assert "energy/image measured" not in told.text
    assert "time/image 95" not in told.text
    assert "short trials" not in told.text


def test_easy_and_hard_images_are_named_without_pictures(page, made):
    assert pictures_of(page) == []
    for each in [*made.execution.easiest, *made.execution.hardest]:
        assert f"no. {each.index}" in page.text
    assert "--page FILE --data IMAGES" in page.text


@pytest.fixture(scope="module")
def embedded():
    return greenadapt.open_data("fashion-mnist-2000", limit=200)


def of_embedded(data) -> Profile:
    whole = adaptive()
    hits = np.array(unpack_hits(whole.quality.hits, 200))
    names = dict(enumerate(data.class_names))
    run = execution_of(decisions(200)[0], data.labels.numpy(), hits, class_names=names)
    quality = whole.quality.model_copy(update={"fingerprint": data.fingerprint})
    return whole.model_copy(update={"execution": run, "quality": quality}).sealed()


def test_pictures_are_the_images_themselves(embedded):
    made = of_embedded(embedded)
    drawn = Page(profile_page(made, embedded))
    found = pictures_of(drawn)
    assert len(found) == len(made.execution.easiest) + len(made.execution.hardest)
    for uri, each in zip(found, [*made.execution.easiest, *made.execution.hardest], strict=True):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        assert (picture == embedded.pixels[each.index, 0].numpy()).all()
        assert embedded.class_names[each.label] in drawn.text
    assert "--data IMAGES" not in drawn.text


def test_images_of_another_audit_are_refused(embedded):
    with pytest.raises(DataError, match="not the images") as error:
        profile_page(adaptive(), embedded)
    assert "--split" in error.value.todo


def test_large_colour_images_are_drawn_small():
    pixels = greenadapt.open_data("fashion-mnist-2000", limit=3).pixels.repeat(1, 3, 8, 8)
    data = ImageArrays(pixels, torch.arange(3))
    found = thumbnails(data, [2, 0, 9])
    assert sorted(found) == [0, 2]
    for uri in found.values():
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert picture.mode == "RGB"
        assert max(picture.size) == SIDE


def test_a_thousand_classes_and_thousands_of_paths_are_bounded():
    random = np.random.default_rng(0)
    table = random.random((6000, 60)) < 0.5
    labels = np.arange(6000) % 1000
    content = decisions_content(execution_of(table, labels, random.random(6000) < 0.5))
    assert len(content["classes"]) == SHOWN_CLASSES
    assert content["classes_between"].startswith("980 classes in between run from ")
    assert len(content["paths"]) == SHOWN_PATHS
    assert content["paths_left"].startswith("5,988 further paths")
    assert len(content["blocks"]) == 60
    svg = content["histograms"]["wide"]
    assert len(re.findall(r">\d+</text>", svg)) < 30


def test_a_fixed_path_needs_no_tables():
    run = execution_of(np.tile([True, False, True], (9, 1)), np.zeros(9, int), np.ones(9, bool))
    content = decisions_content(run)
    assert content["sentence"] == "Every image runs the same 2 of the 3 blocks."
    assert [block["share"] for block in content["blocks"]] == ["100.0 %", "0.0 %", "100.0 %"]
    assert (content["classes"], content["paths"], content["sheets"]) == ([], [], [])


def test_profiles_of_older_schemas_have_their_shares():
    old = Execution(blocks=3, blocks_kept_mean=2.25, paths=2, path_shares={"110": 0.75, "111": 0.25})
    drawn = Page(profile_page(profile(execution=old)))
    assert re.search(r"75\.0\s%", drawn.text)
    assert "An image runs 2.25 of the 3 blocks on average, on 2 different paths." in drawn.text


def test_a_plain_network_has_no_section_on_decisions():
    drawn = Page(profile_page(profile("plain", validity=Validity(status="suspect", reasons=["It shook."]))))
    assert "What it decides" not in drawn.text
    assert "This audit is suspect" in drawn.text
    assert "It shook." in drawn.text


def test_names_cannot_break_out_of_the_page():
    run = adaptive().execution
    names = ["<script>alert(1)</script>", *run.block_names[1:]]
    drawn = Page(profile_page(adaptive(block_names=names)))
    assert "script" not in drawn.tags
    assert "<script>alert(1)</script>" in drawn.text


def test_the_histogram_has_a_bar_for_every_number_of_blocks():
    table = np.tril(np.ones((5, 4), bool), -1)
    svg = histogram_svg(execution_of(table), 300)
    assert svg.count('aria-roledescription="bar"') == 5


def test_without_the_extra_it_says_which(monkeypatch, made):
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtraError):
        profile_page(made)

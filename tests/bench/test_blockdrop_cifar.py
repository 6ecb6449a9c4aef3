"""The CIFAR-10 experiment: every arm trains a few steps and writes figures that fit."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("PIL")

from greenadapt.statistics import unpack_hits
from tests.bench import cifar10
from tests.bench.blockdrop import cifar, cifar_arms, cifar_section, page
from tests.bench.blockdrop.cifar_figures import block_flops, measured, on_commonest_path

here = pytest.mark.skipif(not cifar10.available(), reason="shared/data is not beside the checkout")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Trains an arm a few steps; returns its figures."""
    monkeypatch.setattr(cifar_arms, "_SEARCHED", 2)
    monkeypatch.setattr("greenadapt.adapters.blockdrop.objectives.from_path.first_images", _few)
    monkeypatch.setattr("greenadapt.adapters.blockdrop.objectives.fixed.first_images", _few)

    def train(arm):
        folders = ["--results", str(tmp_path / "blockdrop-cifar"), "--work", str(tmp_path / "work")]
        sizes = ["--images", "16", "--test-images", "24", "--epochs", "2", "--batch-size", "16"]
        assert cifar.main(["train", "--arm", arm, *sizes, *folders]) == 0
        return json.loads((tmp_path / "blockdrop-cifar" / f"{arm}.json").read_text())

    return train


def _few(loader, count=2):
    images, _ = next(iter(loader))
    return images[:2]


def _check(figures, arm, folder):
    assert figures["arm"] == arm
    assert len(figures["curve"]) == 2
    assert len(unpack_hits(figures["hits"], 24)) == figures["images"] == 24
    assert sum(unpack_hits(figures["hits"], 24)) == round(24 * figures["top1"])
    assert (folder / f"{arm}.safetensors").stat().st_size < 2.5e6


@here
@pytest.mark.parametrize("arm", ["spread", "random", "first", "sensitivity"])
def test_every_fixed_arm_runs(arm, tmp_path, capsys, small):
    figures = small(arm)
    assert f"{arm}: " in capsys.readouterr().out
    _check(figures, arm, tmp_path / "blockdrop-cifar")
    assert 120 < figures["mflops"] <= 137.8
    assert figures["mflops_sd"] == 0


@here
def test_the_learned_arm_is_trained_evaluated_and_drawn(tmp_path, capsys, small):
    written, results = small("blockdrop"), tmp_path / "blockdrop-cifar"
    _check(written, "blockdrop", results)
    (results / "spread.safetensors").touch()  # of an arm that is being written just now
    capsys.readouterr()
    assert cifar.main(["evaluate", "--test-images", "24", "--results", str(results)]) == 0
    found = json.loads((results / "comparison.json").read_text())
    assert capsys.readouterr().out == cifar_section.drawn(found["rows"]) + "\n"
    rows = {row["name"]: row for row in found["rows"]}
    assert {"ResNet-20", "ResNet-32", "ResNet-44", "ResNet-56", "blockdrop"} <= set(rows)
    for key in ("hits", "mflops", "curve", "seconds", "processor"):
        assert rows["blockdrop"][key] == written[key]
    assert found["quick"]
    assert [one["name"] for one in found["trainings"]] == ["blockdrop"]
    text = page.drawn(tmp_path, ["cifar_section"])
    assert "0 of 1 bars are met. This was a quick run" in text
    assert (
        f"Trained before that: blockdrop {written['seconds'] / 60:.1f} minutes on {written['processor']}"
        in text
    )
    assert "(blockdrop-cifar/comparison.json)" in text


@here
def test_the_plain_rival_is_trained_alike(tmp_path, small):
    figures = small("plain")
    assert figures["mflops"] == pytest.approx(137.7, abs=0.1)
    assert figures["recipe"]["epochs"] == 2
    assert "kept" not in figures
    results = tmp_path / "blockdrop-cifar"
    assert cifar.main(["evaluate", "--test-images", "24", "--results", str(results)]) == 0
    rows = {row["name"]: row for row in json.loads((results / "comparison.json").read_text())["rows"]}
    assert rows["plain"]["hits"] == figures["hits"]


@here
def test_two_arms_go_on_from_the_fixed_path_from_sensitivity(tmp_path, capsys, small):
    results = tmp_path / "blockdrop-cifar"
    folders = ["--results", str(results), "--work", str(tmp_path / "work")]
    assert cifar.main(["train", "--arm", "begun", "--images", "16", *folders]) == 2
    assert "Train that one first: train --arm sensitivity" in capsys.readouterr().err
    path = small("sensitivity")["kept_by_block"]
    control = small("sensitivity-longer")
    assert control["kept_by_block"] == path
    assert control["recipe"]["learning_rate"] == 0.01
    model = cifar_arms.wrapped("begun", 0.54, 0)
    cifar_arms.begin(model, "begun", results)
    test = cifar10.first(cifar10.images("test"), 16)
    begun = measured(model, test)
    assert begun["kept_by_block"] == path
    assert begun["policy_mflops"] == pytest.approx(1.53, abs=0.01)
    learned = small("begun")
    assert learned["options"]["objective"] == "counterfactual"
    assert learned["kept"] == pytest.approx(0.54 * 27, abs=1.5)


@here
def test_flops_of_all_blocks_are_those_of_the_plain_network():
    model = cifar_arms.wrapped("blockdrop", 0.5, 0)
    rest, blocks = block_flops(model)
    assert rest + sum(blocks) == 2 * cifar10.macs(cifar10.plain(56))
    assert rest == 886_016
    assert blocks == [9_437_184 if block not in (9, 18) else 7_077_888 for block in range(27)]
    figures = measured(model, cifar10.first(cifar10.images("test"), 16))
    assert figures["kept"] == 27
    assert figures["mflops"] == pytest.approx((rest + sum(blocks)) / 1e6 + figures["policy_mflops"])


@here
def test_published_weights_are_as_good_as_published():
    test = cifar10.first(cifar10.images("test"), 200)
    assert cifar10.hits(cifar10.plain(20), test).mean() > 0.88
    assert cifar10.images("train").view.augment
    assert not test.view.augment


@here
def test_fixed_arms_spend_what_the_rival_spends_at_most():
    data = cifar10.first(cifar10.images("train"), 2)
    assert cifar_arms.fitting_keep("spread", data, 0) == 15 / 27
    assert cifar_arms.fitting_keep("first", data, 0) == 14 / 27


@here
def test_the_commonest_path_alone_costs_no_policy():
    model = cifar_arms.wrapped("blockdrop", 0.5, 0)
    test = cifar10.first(cifar10.images("test"), 16)
    alone, whole = on_commonest_path(model, test), measured(model, test)
    assert alone["hits"] == whole["hits"]
    assert alone["mflops"] == pytest.approx(whole["mflops"] - whole["policy_mflops"])
    assert (whole["commonest"], alone["kept"], alone["paths"]) == (1.0, 27, 1)


def test_absent_data_are_said_to_be_absent(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cifar10, "_DATA", tmp_path)
    cifar10._read.cache_clear()
    assert not cifar10.available()
    assert cifar.main(["train", "--arm", "spread"]) == 2
    assert "are not here" in capsys.readouterr().err
    cifar10._read.cache_clear()

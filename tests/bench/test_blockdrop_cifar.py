"""The CIFAR-10 experiment: every arm trains a few steps and writes figures that fit."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("PIL")

from greenadapt.statistics import unpack_hits
from tests.bench import cifar10
from tests.bench.blockdrop import cifar
from tests.bench.blockdrop.cifar_figures import block_flops, measured, table_of

here = pytest.mark.skipif(not cifar10.available(), reason="shared/data is not beside the checkout")


@here
@pytest.mark.parametrize("arm", cifar.ARMS)
def test_every_arm_runs(arm, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cifar.Recipe, "batch_size", 16)
    monkeypatch.setattr(cifar, "_SEARCHED", 2)
    monkeypatch.setattr("greenadapt.adapters.blockdrop.objectives.relaxed.first_images", _few)
    monkeypatch.setattr("greenadapt.adapters.blockdrop.objectives.fixed.first_images", _few)
    folders = ["--results", str(tmp_path / "results"), "--work", str(tmp_path / "work")]
    small = ["--images", "16", "--test-images", "24", "--epochs", "2"]
    assert cifar.main(["train", "--arm", arm, *small, *folders]) == 0
    assert f"{arm}: " in capsys.readouterr().out
    figures = json.loads((tmp_path / "results" / f"{arm}.json").read_text())
    assert len(figures["curve"]) == 2
    assert len(unpack_hits(figures["hits"], 24)) == figures["images"] == 24
    assert sum(unpack_hits(figures["hits"], 24)) == round(24 * figures["top1"])
    assert (tmp_path / "results" / f"{arm}.safetensors").stat().st_size < 2.5e6
    if arm != "blockdrop":
        assert 120 < figures["mflops"] <= 137.8
        assert figures["mflops_sd"] == 0


def _few(loader, count=2):
    images, _ = next(iter(loader))
    return images[:2]


@here
def test_flops_of_all_blocks_are_those_of_the_plain_network():
    model = cifar.wrapped("blockdrop", 0.5, 0)
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
    assert cifar.fitting_keep("spread", data, 0) == 15 / 27
    assert cifar.fitting_keep("first", data, 0) == 14 / 27


def test_table_says_who_won():
    rows = [
        {"name": "ResNet-32", "top1": 0.9263, "mflops": 137.7},
        {
            "name": "blockdrop",
            "top1": 0.931,
            "mflops": 133.0,
            "kept": 13.9,
            "blocks": 27,
            "paths": 8,
            "against": {"ResNet-32": {"won": 300, "lost": 253, "p_value": 0.05}},
        },
    ]
    table = table_of(rows)
    assert "| blockdrop | 93.10 | 133.0 | 13.90 of 27 | 8 | 300 won, 253 lost, p = 0.05 |" in table


def test_absent_data_are_said_to_be_absent(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(cifar10, "_DATA", tmp_path)
    cifar10._read.cache_clear()
    assert not cifar10.available()
    assert cifar.main(["train", "--arm", "spread"]) == 2
    assert "are not here" in capsys.readouterr().err
    cifar10._read.cache_clear()

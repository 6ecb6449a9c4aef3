"""The experiments on conversions: what their sections say of made-up figures, and the file of weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from greenadapt.adapters.biglittle.objective import reestimate_norms
from tests.bench import cifar10, paired
from tests.bench.biglittle import cifar, inits, photos


def made_up(right: float, macs: int, seed: int = 0, **more):
    """A network that classifies a share of 10,000 images correctly; the first ones are everybody's."""
    hits = np.arange(10_000) < right * 10_000
    noise = np.random.RandomState(seed).permutation(10_000)[:50]
    hits[noise] = ~hits[noise]
    return {"parameters": 10, "macs": macs, "quality": paired.quality(hits.tolist(), "cifar10", "f"), **more}


def cifar_results(converted: float, epochs: int = 30):
    plain = {20: (0.9173, 41), 32: (0.9263, 69), 44: (0.931, 97), 56: (0.9339, 125)}
    networks = {f"resnet{d}": made_up(a, m * 10**6) for d, (a, m) in plain.items()}
    curve = [{"loss": 1.0}] * epochs
    networks["converted"] = made_up(converted, 57 * 10**6, curve=curve, seconds=10, seed=1)
    recipe = {**cifar.RECIPE, **cifar.OPTIONS, "base": "resnet56"}
    return {"recipe": recipe, "networks": networks}


@pytest.mark.parametrize(
    ("top1", "bar", "goal", "advice"),
    [
        (0.9400, "**met**", "is met", "No plain network"),
        (0.9270, "**NOT MET**", "is NOT met", "No plain network"),
        (0.9180, "**NOT MET**", "is NOT met", "is as good: ResNet-20. Use that one."),
        (0.9000, "**NOT MET**", "is NOT met", "is better: ResNet-20. Use that one."),
    ],
)
def test_cifar_section_says_plainly_who_wins(top1, bar, goal, advice):
    text = cifar.section(cifar_results(top1))
    assert bar in text
    assert goal in text
    assert advice in text
    assert "the cheapest plain network that costs as much or more" in text


def test_cifar_section_of_a_training_cut_short_and_of_none():
    assert "stopped after 3 of 30 epochs" in cifar.section(cifar_results(0.94, epochs=3))
    results = cifar_results(0.94)
    del results["networks"]["converted"]
    assert "NOT MET" in cifar.section(results)


@pytest.mark.parametrize(
    ("rival", "verdict"), [(0.92, "is ahead of"), (0.94, "is behind"), (0.9305, "cannot be told apart from")]
)
def test_the_conversion_is_held_against_the_plain_rival_trained_alike(rival, verdict):
    results = cifar_results(0.93)
    assert "Not trained yet: the same network from random weights, ResNet-32 trained on." in cifar.section(
        results
    )
    results["networks"]["rival"] = made_up(rival, 69 * 10**6, curve=[{"loss": 1.0}] * 30, seconds=9, seed=2)
    text = cifar.section(results)
    assert f"Trained alike, the conversion {verdict} the plain rival: " in text
    assert "The training alone brought that one " in text
    assert ("use that one." in text) == (verdict != "is ahead of")
    assert f"Trained alike, the conversion {verdict}" in cifar.cifar_section.bar(results)
    assert "| ResNet-32 trained on | 69.0 |" in text
    assert "beat ResNet-32, the cheapest plain network" in text


def test_networks_on_different_images_are_not_compared():
    one, other = (paired.quality([True, False], "cifar10", print_) for print_ in "ab")
    with pytest.raises(ValueError, match="not the same images"):
        paired.difference(one, other)


@pytest.mark.skipif(not cifar10.available(), reason="needs shared/data")
def test_the_rival_is_the_plain_network_with_its_published_weights(tmp_path):
    network = cifar.untrained("rival")
    cifar.write("rival", network.state_dict(), [{"loss": 1.0}], 5.0, tmp_path)
    again, told = cifar.read("rival", tmp_path)
    assert told["seconds"] == 5
    assert cifar10.macs(again) == cifar10.macs(cifar10.plain(32))


@pytest.mark.skipif(not cifar10.available(), reason="needs shared/data")
def test_weights_are_published_and_read_back(tmp_path):
    network = cifar.untrained("converted")
    checkpoint = tmp_path / "run.ckpt"
    settings = {**cifar.RECIPE, "options": {**cifar.OPTIONS, "depth": "native", "init": "l1"}}
    state = {"settings": json.dumps(settings), "model": network.state_dict(), "seconds": 12.4}
    torch.save({**state, "curve": json.dumps([{"loss": 1.0}])}, checkpoint)
    file = cifar.bring("converted", checkpoint, tmp_path)
    assert file.stat().st_size < 2.5e6
    again, told = cifar.read("converted", tmp_path)
    assert told == {"curve": [{"loss": 1.0}], "seconds": 12, "recipe": cifar.RECIPE}
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(images), network.eval()(images), rtol=0.02, atol=0.02)
    with pytest.raises(SystemExit, match="another recipe"):
        cifar.bring("rival", checkpoint, tmp_path)
    torch.save({**state, "settings": json.dumps({**settings, "epochs": 3}), "curve": "[]"}, checkpoint)
    with pytest.raises(SystemExit, match="another recipe"):
        cifar.bring("converted", checkpoint, tmp_path)


def inits_results(*seeds: int):
    ahead = {"zero": 0.0, "l1": 0.03, "random": -0.02}
    runs = [
        {"init": init, "seed": seed, "reestimated": 0.5, "curve": [0.6 + by + seed / 1000, 0.8 + by]}
        for seed in seeds
        for init, by in ahead.items()
    ]
    return {"settings": {**inits.SETTINGS, "epochs": 2}, "base": 0.9, "runs": runs}


def test_inits_section_names_the_fastest_and_by_how_much():
    text = inits.section(inits_results(0, 1, 2))
    assert "**l1** recovers fastest" in text
    assert "- zero: +3.00 points (+3.00 to +3.00)" in text
    assert "| l1 | 50.00% | 63.10% | 83.00% | 73.05% |" in text


def test_inits_section_of_a_run_cut_short_leaves_out_what_is_not_paired():
    results = inits_results(0, 1)
    results["runs"] = [run for run in results["runs"] if (run["init"], run["seed"]) != ("random", 1)]
    assert "one seed that was run, which tells little" in inits.section(results)


def test_photos_section_says_when_it_does_not_pay():
    def network(after: int):
        hits = [(np.arange(500) < n).tolist() for n in (460, 100, after)]
        names = ("base", "re-estimated", "distilled")
        stages = {n: paired.quality(h, "photos", "f") for n, h in zip(names, hits, strict=True)}
        macs = {"base": 100, "retrofit": 60}
        return {"macs": macs, "stages": stages, "milliseconds": {"base": 10, "retrofit": 7, "ratio": 0.7}}

    text = photos.section({"settings": photos.SETTINGS, "networks": {"a": network(200), "b": network(460)}})
    assert "| a | 40.0% | 30.0% | 0.75 | 92.0% | 20.0% | 40.0% |" in text
    assert text.count("**does not pay**") == 1
    assert "b: +0.00" in text


def test_unfolding_norms_changes_statistics_but_not_the_function():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
    )
    nn.init.uniform_(model[1].weight, 0.5, 2.0)
    images = torch.randn(8, 3, 12, 12)
    model.eval()
    with torch.no_grad():
        before = model(images)
        photos.unfold(model, [(images, None)])
        torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model[1].running_mean, model[0](images).mean((0, 2, 3)))
        reestimate_norms(model, [(images, None)])
        torch.testing.assert_close(model(images), before, rtol=1e-2, atol=1e-2)

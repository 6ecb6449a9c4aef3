"""Big-Little conversions: the paper's counts, inherited weights, what the network computes at first."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt.adapters.biglittle.objective import BigLittleObjective, reestimate_norms
from greenadapt.counting import counting
from greenadapt.errors import ModelError, OptionError
from greenadapt.testing import awake
from greenadapt.zoo.bl_stages import BigLittleStem


def macs(model, images):
    with counting(model) as counter:
        model(images)
        return counter.macs


@pytest.mark.parametrize(
    ("alpha", "beta", "parameters", "expected"),
    [(2, 2, 26_974_632, 2_910_650_368), (2, 4, 26_694_568, 2_856_058_880), (4, 4, 26_236_456, 2_477_129_728)],
)
def test_resnet50_converts_to_the_papers_counts(alpha, beta, parameters, expected):
    model = greenadapt.open_model("resnet50", pretrained=False)
    converted = greenadapt.wrap(model, "biglittle", alpha=alpha, beta=beta)
    assert sum(p.numel() for p in converted.parameters()) == parameters
    assert macs(converted, torch.randn(1, 3, 224, 224)) == expected


@pytest.mark.parametrize("reference", ["resnet50", "cifar_resnet20"])
def test_every_weight_of_the_base_is_inherited(reference):
    model = awake(reference)
    converted = greenadapt.wrap(model, "biglittle")
    pool = [p for p in converted.state_dict().values() if p.ndim]
    for name, value in model.state_dict().items():
        assert value.ndim == 0 or any(torch.equal(value, p) for p in pool if p.shape == value.shape), name


def test_stage_starts_as_its_big_branch():
    converted = greenadapt.wrap(awake("cifar_resnet20"), "biglittle").eval()
    x = torch.randn(2, 16, 32, 32).relu()
    branches, fusion = converted.layer1
    expected = fusion(F.relu(F.interpolate(branches.big(x), size=(32, 32), mode="nearest")))
    torch.testing.assert_close(converted.layer1(x), expected)
    torch.nn.init.ones_(branches.expand[1].weight)
    assert not torch.allclose(converted.layer1(x), expected), "the little branch must matter once it is open"


def test_big_branch_ends_without_activation():
    converted = greenadapt.wrap(awake("resnet50"), "biglittle").eval()
    assert (converted.layer1[0].big(torch.randn(1, 64, 56, 56)) < 0).any()


def test_stem_stays_the_identity_through_reestimation():
    model = greenadapt.wrap(awake("resnet50"), "biglittle")
    images = torch.randn(16, 3, 64, 64)
    loader = [(images, torch.zeros(16))]
    BigLittleObjective(model).prepare(loader)
    stem = model.maxpool
    assert isinstance(stem, BigLittleStem)
    model.eval()
    x = model.act1(model.bn1(model.conv1(images)))
    torch.testing.assert_close(stem(x), x[:, :, ::2, ::2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("init", ["zero", "random"])
def test_what_a_training_found_is_kept_by_the_next(init):
    model = greenadapt.wrap(awake("resnet50", num_classes=3), "biglittle", init=init)
    photos = TensorDataset(torch.randn(4, 3, 64, 64), torch.tensor([0, 1, 2, 0]))
    data = DataLoader(photos, batch_size=4)
    opened = model.maxpool.fuse[1].weight.detach().clone()
    settings = {"epochs": 1, "learning_rate": 1e-9, "meter": None, "device": "cpu"}
    greenadapt.finetune(model, data, **settings)
    prepared = model.maxpool.fuse[1].weight.detach().clone()
    # A stem that starts as the identity is fitted to the images; one that starts open is left.
    assert torch.allclose(prepared, opened, atol=1e-4) == (init == "random")
    with torch.no_grad():
        model.maxpool.fuse[1].weight *= 3
    greenadapt.finetune(model, data, **settings)
    torch.testing.assert_close(model.maxpool.fuse[1].weight.detach(), 3 * prepared, rtol=1e-3, atol=1e-3)


def test_reestimation_gives_the_norms_the_statistics_of_the_images():
    model = greenadapt.wrap(awake("cifar_resnet14"), "biglittle")
    images = torch.randn(32, 3, 32, 32) * 3 + 1
    reestimate_norms(model, [(images, None)])
    expected = F.conv2d(images, model.conv1.weight, padding=1).mean((0, 2, 3))
    torch.testing.assert_close(model.bn1.running_mean, expected, rtol=1e-3, atol=1e-3)
    assert model.bn1.momentum == 0.1


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("bl_resnet50", "already"),
        ("cifar_resnet8", "fewer than two blocks"),
        ("test_vit", "at one resolution from end to end"),
        ("densenet121", "concatenation"),
        ("mixnet_s", "MixedConv2d"),
    ],
)
def test_networks_that_the_rule_does_not_fit(reference, reason):
    model = greenadapt.open_model(reference, pretrained=False)
    with pytest.raises(ModelError, match=reason):
        greenadapt.wrap(model, "biglittle")


def test_dilated_networks_are_refused():
    model = greenadapt.open_model("resnet18", pretrained=False, output_stride=16)
    with pytest.raises(ModelError, match="dilated"):
        greenadapt.wrap(model, "biglittle")


def test_options_out_of_range():
    model = awake("cifar_resnet14")
    with pytest.raises(OptionError, match="Use one of: 1, 2, 4, 8, 16"):
        greenadapt.wrap(model, "biglittle", alpha=3)
    with pytest.raises(OptionError, match="beta=0"):
        greenadapt.wrap(model, "biglittle", beta=0)
    with pytest.raises(OptionError, match="Use one of: native, paper"):
        greenadapt.wrap(model, "biglittle", depth="deep")
    with pytest.raises(OptionError, match="Use one of: auto, zero, l1, random"):
        greenadapt.wrap(model, "biglittle", init="l2")
    deep = copy.deepcopy(greenadapt.wrap(model, "biglittle", beta=100))
    assert len(deep.layer1[0].little) == 1

"""Every family that Big-Little converts: forward, backward, the contract, and the work that is saved."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import greenadapt
from greenadapt.adapters.biglittle.adapter import adapter
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.counting import counting
from greenadapt.testing import awake, check_adapter
from greenadapt.zoo.bl_stages import Branches

SMALLEST = [
    "resnet18d",
    "resnetblur18",
    "seresnet18",
    "ecaresnet26t",
    "ecaresnext26t_32x4d",
    "resnest26d",
    "skresnet18",
    "res2next50",
    "regnety_004",
    "regnetz_005",
    "resnetv2_18",
    "resnetv2_50d_frn",
    "nf_regnet_b0",
    "dm_nfnet_f0",
    "convnext_atto",
    "convnextv2_atto",
    "mobilenetv2_050",
    "efficientnet_lite0",
    "efficientnet_blur_b0",
    "mobilenetv4_conv_small",
]
"""A small network of every block class, stem and norm that a family treats in its own way."""
NARROW = {"dm_nfnet_f0": {"width_factor": 0.25, "group_size": 16}}
"""What makes a network small of which there is no small one."""


def lively(reference):
    """As `awake`, and with the gains and scales open that norm-free networks and ConvNeXts start at zero."""
    model = awake(reference, **NARROW.get(reference, {}))
    for name, parameter in model.named_parameters():
        if name.endswith((".gain", ".gamma", ".skipinit_gain")):
            nn.init.uniform_(parameter, 0.5, 1.0)
    return model


@pytest.mark.parametrize("reference", SMALLEST)
def test_family_runs_forward_and_backward(reference):
    model = lively(reference)
    converted = greenadapt.wrap(model, "biglittle", init="random").train()
    images = torch.randn(2, 3, 96, 96)
    loss = converted(images).square().mean()
    loss.backward()
    assert torch.isfinite(loss)
    for name, module in converted.named_modules():
        if isinstance(module, Branches):
            for branch in (module.big, module.little, module.expand):
                grads = [p.grad for p in branch.parameters()]
                assert any(g is not None and g.abs().sum() > 0 for g in grads), name


@pytest.mark.parametrize("reference", SMALLEST)
def test_every_weight_of_the_base_is_inherited(reference):
    model = lively(reference)
    converted = greenadapt.wrap(model, "biglittle")
    sums = {(tuple(p.shape), round(p.double().sum().item(), 6)) for p in converted.parameters()}
    for name, value in model.named_parameters():
        assert (tuple(value.shape), round(value.double().sum().item(), 6)) in sums, name


@pytest.mark.parametrize(
    "reference",
    ["skresnet18", "regnety_004", "resnetv2_18", "dm_nfnet_f0", "convnext_atto", "efficientnet_lite0"],
)
def test_family_keeps_the_contract(reference):
    torch.manual_seed(0)
    check_adapter("biglittle", lively(reference), torch.randn(2, 3, 96, 96), options={"alpha": 2, "beta": 4})


@pytest.mark.parametrize(
    ("reference", "size", "least"),
    [
        ("resnet50d", 224, 0.28),
        ("res2net50_26w_4s", 224, 0.32),
        ("resnest50d", 224, 0.33),
        ("skresnet50", 224, 0.29),
        ("regnety_032", 224, 0.5),
        ("resnetv2_50", 224, 0.38),
        ("dm_nfnet_f0", 192, 0.28),
        ("convnext_tiny", 224, 0.4),
        ("wide_resnet50_2", 224, 0.42),
        ("mobilenetv2_100", 224, 0.4),
    ],
)
def test_family_cuts_the_work(reference, size, least):
    def macs(model):
        with counting(model) as counter:
            model.eval()(torch.empty(1, 3, size, size, device="meta"))
            return counter.macs

    with torch.device("meta"):
        model = greenadapt.open_model(reference, pretrained=False)
    before = macs(model)
    assert 1 - macs(adapter.wrap(model, BigLittleConfig())) / before >= least


@pytest.mark.parametrize("size", [97, 128])
def test_odd_sizes_run(size):
    converted = greenadapt.wrap(awake("regnety_004"), "biglittle").eval()
    with torch.inference_mode():
        assert converted(torch.randn(1, 3, size, size)).shape == (1, 1000)

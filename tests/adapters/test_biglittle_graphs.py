"""A converted network is a static graph: a tiny one of every family compiles, exports and runs in bf16."""

from __future__ import annotations

import copy
import pickle
from functools import cache

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d
from timm.models.efficientnet import EfficientNet
from timm.models.nfnet import NfCfg, NormFreeNet
from timm.models.regnet import RegNet, RegNetCfg
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from timm.models.resnetv2 import ResNetV2
from torch import nn

import greenadapt.zoo  # noqa: F401, RUF100
from greenadapt.adapters.biglittle.adapter import adapter
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.zoo.bl_stages import BigLittleStem, Branches
from tests import graphs

SIZE = 64
CLASSES = 5
_NARROW = {"num_classes": CLASSES}


def _inverted() -> nn.Module:
    from timm.models._efficientnet_builder import decode_arch_def, round_channels

    stages = [
        ["ds_r1_k3_s1_c8"],
        ["ir_r2_k3_s2_e2_c16"],
        ["ir_r3_k3_s2_e2_c16_se0.25"],
        ["ir_r1_k3_s2_e2_c24"],
    ]
    return EfficientNet(
        decode_arch_def(stages), stem_size=8, num_features=32, round_chs_fn=round_channels, **_NARROW
    )


FAMILIES = {
    "cifar": lambda: timm.create_model("cifar_resnet14", **_NARROW),
    "resnet": lambda: ResNet(BasicBlock, (2, 2, 2, 1), **_NARROW, zero_init_last=False),
    "resnet with a new stem": lambda: ResNet(Bottleneck, (3, 3, 3, 1), **_NARROW, zero_init_last=False),
    "regnet": lambda: RegNet(
        RegNetCfg(depth=8, w0=16, wa=16.0, wm=2.0, group_size=8, se_ratio=0.25), **_NARROW
    ),
    "resnetv2": lambda: ResNetV2(
        (2, 2, 2, 1), channels=(32, 64, 96, 128), stem_chs=16, norm_layer=BatchNormAct2d, **_NARROW
    ),
    "nfnet": lambda: NormFreeNet(
        NfCfg(depths=(2, 2, 2, 1), channels=(32, 64, 96, 128), stem_type="3x3", stem_chs=16), **_NARROW
    ),
    "convnext": lambda: timm.create_model(
        "convnext_atto", depths=(2, 2, 2, 1), dims=(16, 32, 48, 64), **_NARROW
    ),
    "efficientnet": _inverted,
}


@cache
def _made(family: str) -> nn.Module:
    torch.manual_seed(0)
    model = FAMILIES[family]()
    for name, value in model.named_parameters():
        if value.ndim <= 1:
            nn.init.uniform_(value, 0.5, 1.0) if name.endswith(("weight", "gain", "gamma")) else None
    return adapter.wrap(model, BigLittleConfig(init="random")).eval()


@pytest.fixture(params=FAMILIES)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """Not to be changed."""
    return _made(request.param)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_every_family_has_its_branches() -> None:
    assert all(any(isinstance(m, Branches) for m in _made(family).modules()) for family in FAMILIES)
    assert isinstance(_made("resnet with a new stem").maxpool, BigLittleStem)


def test_compiles_as_one_graph(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_compiles(model, images)


def test_trains_compiled(images: torch.Tensor) -> None:
    graphs.assert_trains_compiled(_made("cifar"), images)


def test_exports_for_any_batch(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_exports_for_any_batch(model, images, rtol=1e-4, atol=1e-4)


def test_exports_through_dynamo(images: torch.Tensor) -> None:
    graphs.assert_exports_for_any_batch(_made("cifar"), images, rtol=1e-4, atol=1e-4, strict=True)


@pytest.mark.parametrize("family", ["cifar", "resnet with a new stem", "efficientnet"])
def test_onnx(family: str, images: torch.Tensor) -> None:
    graphs.assert_onnx_gives_the_same_logits(_made(family), images)


def test_channels_last_stays_so(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_stays_channels_last(model, images)


def test_bf16_autocast(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_runs_in_bf16(model, images)


@pytest.mark.parametrize("family", FAMILIES)
def test_trains_in_mixed_precision(family: str, images: torch.Tensor) -> None:
    # Without trained norms a ResNetV2's logits grow to 1e10, in full precision too.
    agreement = 0.5 if family == "resnetv2" else 0.99
    graphs.assert_trains_in_mixed_precision(_made(family), images, agreement=agreement)


def test_trains_in_float16(images: torch.Tensor) -> None:
    # A processor without units for float16 is slow at it: two images will do.
    graphs.assert_trains_in_mixed_precision(_made("cifar"), images[:2], torch.float16)


def test_copies_and_pickles(model: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        want = model(images)
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert type(twin) is type(model)
            assert torch.equal(twin(images), want)


def test_timms_api(model: nn.Module, images: torch.Tensor) -> None:
    twin = copy.deepcopy(model)
    with torch.no_grad():
        final, taps = twin.forward_intermediates(images)
        assert torch.equal(final, twin.forward_features(images))
        for tap, info in zip(taps, twin.feature_info, strict=True):
            assert tap.shape[1] == info["num_chs"]
            assert abs(tap.shape[-1] - SIZE / info["reduction"]) < 1
        twin.reset_classifier(3)
        assert twin(images).shape == (4, 3)
    from timm.models import group_parameters

    assert sum(map(len, group_parameters(twin, twin.group_matcher(coarse=False)).values())) == len(
        list(twin.parameters())
    )


def test_checkpointing_changes_no_gradient(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_checkpointing_changes_no_gradient(model, images)

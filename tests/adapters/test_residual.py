"""Residual blocks are found by what they compute, and what cannot be dropped says why."""

from __future__ import annotations

import copy
import pickle

import pytest
import timm
import torch
from torch import nn

from greenadapt.adapters.execution import OnePath
from greenadapt.adapters.gates import gate, under, ungate
from greenadapt.adapters.residual import residual_blocks, shortcut_module
from tests.bench.zoo.oracle import awake


class Doubling(nn.Module):
    """Looks residual, is not: a fresh one adds its input to its branch, a trained one scales it."""

    def __init__(self) -> None:
        super().__init__()
        self.drop_path = nn.Identity()
        self.scale = nn.Parameter(torch.ones(1))
        self.conv = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))

    def forward(self, x):
        return self.scale * x + self.drop_path(self.conv(x))


class Plain(nn.Module):
    """A residual block that no family knows."""

    def __init__(self, act=None) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
        self.act = act

    def forward(self, x, mask=None, *, table=None):
        x = x + self.conv(x)
        return x if self.act is None else self.act(x)


class Net(nn.Module):
    def __init__(self, *blocks) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.ModuleList(blocks)
        self.table = nn.Parameter(torch.randn(5, 2))
        self.pretrained_cfg = {"input_size": (3, 16, 16)}

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, x[:, 0], table=self.table) if isinstance(block, Plain) else block(x)
        return x.mean((2, 3))


def test_a_learned_scale_on_the_shortcut_is_no_identity():
    found = residual_blocks(Net(Plain(), Doubling()))
    assert [(b.name, b.droppable, b.shortcut) for b in found] == [
        ("blocks.0", True, "identity"),
        ("blocks.1", False, "none"),
    ]
    assert "no shortcut" in found[1].why_not


@pytest.mark.parametrize("act", [nn.ReLU(), nn.SiLU(), nn.GELU()])
def test_an_activation_after_the_sum_is_not_passed_on(act):
    (block,) = residual_blocks(Net(Plain(act)))
    x = torch.randn(2, 4, 8, 8)
    assert block.shortcut == "identity"
    assert torch.equal(shortcut_module(block)(x, x[:, 0]), x)


def test_finding_leaves_the_model_as_it_is():
    model = awake(timm.create_model("test_resnet"))
    before = copy.deepcopy(model.state_dict())
    kinds = [type(m) for m in model.modules()]
    assert model.training
    residual_blocks(model)
    assert model.training
    assert kinds == [type(m) for m in model.modules()]
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_a_stride_without_a_shortcut_is_listed_with_the_reason():
    found = {b.name: b for b in residual_blocks(timm.create_model("mobilenetv3_small_050"))}
    held = [b for b in found.values() if not b.droppable]
    assert held
    assert all("no shortcut" in b.why_not for b in held)
    assert list(found) == sorted(found, key=list(found).index)


def test_a_dropped_projection_shares_the_parameters_of_its_block():
    model = timm.create_model("test_resnet").eval()
    block = next(b for b in residual_blocks(model) if b.shortcut == "projection")
    stand_in = shortcut_module(block)
    own = {id(p) for p in block.module.downsample.parameters()}
    assert {id(p) for p in stand_in.parameters()} == own
    x = torch.randn(2, next(block.module.parameters()).shape[1], 8, 8)
    assert torch.equal(stand_in(x), block.module.downsample(x))


def test_a_gated_model_is_not_searched_again_and_survives_copies():
    model = awake(timm.create_model("mobilenetv3_small_050").eval())
    images = torch.randn(2, 3, 64, 64)
    found = residual_blocks(model)
    path = tuple(k % 2 == 0 for k in range(sum(b.droppable for b in found)))
    expected = model(images)
    gate(found)
    for twin in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        again = residual_blocks(twin)
        assert [(b.name, b.why_not) for b in again] == [(b.name, b.why_not) for b in found]
        modules = dict(twin.named_modules())
        assert all(modules[b.name] is b.module for b in again)
        assert torch.equal(twin(images), expected)
        with under(OnePath(path)):
            half = twin(images)
        assert not torch.allclose(half, expected)
    plain = ungate(model)
    assert torch.equal(plain(images), expected)
    assert [type(m) for m in plain.modules()] == [
        type(m) for m in timm.create_model("mobilenetv3_small_050").modules()
    ]


BRANCHED = {
    "test_vit": ({}, 64),
    "cait_xxs24_224": ({"depth": 2, "img_size": 64}, 64),
    "swinv2_tiny_window8_256": (
        {"depths": (1, 1, 2, 1), "embed_dim": 24, "img_size": 64, "window_size": 4},
        64,
    ),
}


@pytest.mark.parametrize("name", BRANCHED)
def test_branches_are_dropped_on_their_own(name):
    options, size = BRANCHED[name]
    model = awake(timm.create_model(name, **options).eval())
    images = torch.randn(2, 3, size, size)
    expected = model(images)
    whole = residual_blocks(model)
    found = [b for b in residual_blocks(model, "branch") if b.droppable]
    assert len([b for b in found if b.branch]) >= 2 * min(2, len(whole))
    gate(found)
    ours = {b.branch for b in found if b.branch}
    calls = []
    for block in found:
        if block.branch:
            inner = next(
                m for m in block.module.get_submodule(block.branch).modules() if isinstance(m, nn.Linear)
            )
            inner.register_forward_hook(lambda m, a, o, name=block.name: calls.append(name))
    assert torch.equal(model(images), expected)
    calls.clear()
    with under(OnePath((True,) * len(found))):
        torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)
    calls.clear()
    path = tuple(k % 2 == 0 for k in range(len(found)))
    with under(OnePath(path)):
        half = model(images)
    kept = [b.name for b, stays in zip(found, path, strict=True) if stays and b.branch]
    assert set(calls) == set(kept)
    assert not torch.allclose(half, expected, rtol=1e-3)
    assert len(ours) == 2

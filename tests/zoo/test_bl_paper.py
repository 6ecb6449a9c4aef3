"""The Big-Little paper's networks: its counts, its resolutions, the logits of the published code."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from greenadapt.counting import counting
from greenadapt.zoo import BL_SHAPES, BigLittleResNet
from greenadapt.zoo.bl_names import translated, translated_name
from tests.bl_reference import COUNTS, LAYERS, published_shapes
from tests.golden import assert_golden, drawn, golden_input, load_golden

GOLDENS = {
    "blresnet50_a2_b4": ("bl_resnet50", 2, 4),
    "blresnet50_a2_b2": ("bl_resnet50", 2, 2),
    "blresnet50_a4_b4": ("bl_resnet50", 4, 4),
    "blresnext50_32x4d_a2_b4": ("bl_resnext50_32x4d", 2, 4),
}


def on_meta(name: str, **options: Any) -> BigLittleResNet:
    """A network without numbers: enough to count and to see shapes, and free."""
    with torch.device("meta"):
        model = timm.create_model(name, **options)
    assert isinstance(model, BigLittleResNet)
    return model.eval()


def published(name: str, alpha: int, beta: int) -> dict[str, tuple[int, ...]]:
    shape = BL_SHAPES[name]
    return published_shapes(shape.layers, alpha, beta, shape.base_width, shape.cardinality, shape.squeeze)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("name", "alpha", "beta", "count", "macs"), COUNTS)
def test_parameters_and_macs_of_the_paper(name: str, alpha: int, beta: int, count: int, macs: int) -> None:
    model = on_meta(name, alpha=alpha, beta=beta)
    assert parameters(model) == count
    with counting(model) as counter:
        model(torch.zeros(1, 3, 224, 224, device="meta"))
        assert counter.macs == macs


def test_parameters_by_part() -> None:
    model = on_meta("bl_resnet50")
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 71
    stem = [m.weight.numel() for m in model.maxpool.modules() if isinstance(m, nn.Conv2d)]
    assert stem == [36_864, 18_432, 9_216, 2_048, 4_096]
    stages = [model.layer1, model.layer2, model.layer3, model.layer4]
    assert [parameters(stage) for stage in stages] == [273_280, 1_422_080, 7_904_768, 14_964_736]


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [
        (50, [(2, 1, 1), (3, 1, 1), (5, 1, 1)]),
        (101, [(3, 1, 1), (7, 1, 1), (17, 3, 1)]),
        (152, [(4, 1, 1), (11, 2, 1), (29, 6, 1)]),
    ],
)
def test_blocks_of_the_branches(depth: int, blocks: list[tuple[int, int, int]]) -> None:
    model = on_meta(f"bl_resnet{depth}")
    stages = (model.layer1, model.layer2, model.layer3)
    assert [(len(s[0].big), len(s[0].little), len(s) - 1) for s in stages] == blocks
    assert len(model.layer4) == 3


@pytest.mark.parametrize("size", [160, 192, 224, 225, 240, 256, 288, 320])
def test_stage_shapes(size: int) -> None:
    model = on_meta("bl_resnet50")
    with torch.no_grad():
        found = model.forward_intermediates(
            torch.zeros(1, 3, size, size, device="meta"), intermediates_only=True
        )
        stem = model.maxpool(found[0])
    assert stem.shape == (1, 64, -(-size // 4), -(-size // 4))
    assert [tuple(f.shape[1:]) for f in found] == [
        (channels, -(-size // reduction), -(-size // reduction))
        for channels, reduction in [(64, 2), (256, 8), (512, 16), (1024, 16), (2048, 32)]
    ]


@pytest.mark.parametrize("case", GOLDENS)
def test_golden_logits_of_the_published_code(case: str) -> None:
    name, alpha, beta = GOLDENS[case]
    model = timm.create_model(name, alpha=alpha, beta=beta).double().eval()
    theirs = {n: drawn(n, s) if s else torch.tensor(0) for n, s in published(name, alpha, beta).items()}
    model.load_state_dict(translated(theirs))
    expected = load_golden("bl")[case]
    stages: list[torch.Tensor] = []
    # What the reference calls bl_init is the bare convolution, before its norm.
    for module in (model.maxpool.fuse[0], model.layer1, model.layer2, model.layer3, model.layer4):
        module.register_forward_hook(lambda _, __, output: stages.append(output))
    with torch.no_grad():
        assert_golden(model(golden_input(224)), expected)
    for want, got in zip(expected["stages"].values(), stages, strict=True):
        assert list(got.shape) == want["shape"]
        assert got.mean().item() == pytest.approx(want["mean"], rel=1e-9)
        assert got.std().item() == pytest.approx(want["std"], rel=1e-9)


@pytest.mark.parametrize("name", BL_SHAPES)
@pytest.mark.parametrize(("alpha", "beta"), [(2, 4), (1, 1), (4, 2), (4, 1)])
def test_every_published_tensor_has_its_place(name: str, alpha: int, beta: int) -> None:
    ours = {n: tuple(t.shape) for n, t in on_meta(name, alpha=alpha, beta=beta).state_dict().items()}
    theirs = published(name, alpha, beta)
    assert translated(theirs) == ours
    assert len(theirs) == len(ours), "two names became one"


def test_names_of_ours_stay_and_a_parallel_training_adds_its_prefix() -> None:
    for theirs in published("bl_seresnext50_32x4d", 2, 4):
        ours = translated_name(theirs)
        assert translated_name(ours) == ours
        assert translated_name(f"module.{theirs}") == ours


def test_names_are_those_of_a_converted_network() -> None:
    import greenadapt

    base = timm.create_model("resnet50")
    converted = greenadapt.wrap(base, "biglittle", inplace=True).state_dict()
    own = on_meta("bl_resnet50").state_dict()
    # timm's fourth stage halves its shortcut by a strided projection, the published networks by pooling.
    moved = {f"layer4.0.downsample.{i}.": f"layer4.0.downsample.{i + 1}." for i in (0, 1)}
    names = {
        next((n.replace(old, new) for old, new in moved.items() if n.startswith(old)), n): tuple(t.shape)
        for n, t in converted.items()
    }
    assert names == {n: tuple(t.shape) for n, t in own.items()}


@pytest.mark.slow
def test_the_deepest_runs() -> None:
    model = timm.create_model("bl_resnet152").eval()
    assert [len(s[0].big) + 1 for s in (model.layer1, model.layer2, model.layer3)] == list(LAYERS[152][:3])
    with torch.no_grad():
        assert model(torch.randn(1, 3, 96, 96)).isfinite().all()

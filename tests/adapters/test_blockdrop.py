"""BlockDrop's semantics: the reference network's goldens, and that dropped blocks are not called."""

from __future__ import annotations

import copy

import pytest
import timm
import torch

import greenadapt
import greenadapt.zoo
from greenadapt.adapters.blockdrop.adapter import adapter
from greenadapt.adapters.blockdrop.config import BlockDropConfig
from greenadapt.adapters.blockdrop.fixed import fixed_path
from greenadapt.adapters.blockdrop.policy import Policy
from greenadapt.adapters.execution import Gated, execute
from greenadapt.testing import awake
from tests.golden import assert_golden, golden_input, load_golden, seed_weights

DROPPED = {
    "all": lambda index, first: True,
    "none": lambda index, first: False,
    "drop_stage_first": lambda index, first: index not in first,
    "odd_only": lambda index, first: index % 2 == 1,
}


def gated(model):
    return adapter.wrap(model, BlockDropConfig(keep=1.0))


def run(model, images, path):
    model.set_path(path)
    return model(images)


@pytest.mark.parametrize("case", DROPPED)
@pytest.mark.parametrize(
    ("name", "label", "size", "first", "blocks"),
    [
        ("resnet50", "resnet50", 224, {0, 3, 7, 13}, 16),
        ("cifar_resnet32", "resnet32_c10", 32, {0, 5, 10}, 15),
    ],
)
def test_goldens_of_the_reference_network(name, label, size, first, blocks, case):
    model = timm.create_model(name, num_classes=1000 if name == "resnet50" else 10).double().eval()
    seed_weights(model)
    path = tuple(DROPPED[case](index, first) for index in range(blocks))
    with torch.inference_mode():
        logits = run(gated(model), golden_input(size), path)
    assert_golden(logits, load_golden("bd")[f"{label}:{case}"])


def test_dropped_stage_first_block_passes_negative_values_on():
    model = gated(awake("resnet26"))
    model.set_path(tuple(index != 2 for index in range(8)))
    seen = {}
    model.layer2[1].register_forward_hook(lambda m, args, out: seen.update(x=args[0]))
    model(torch.randn(2, 3, 64, 64))
    assert (seen["x"] < 0).any()


def test_dropped_blocks_are_not_called():
    model = gated(awake("resnet26"))
    path = (True, False, True, True, False, False, True, True)
    calls = []
    for block in [m for m in model.modules() if isinstance(m, Gated)]:
        block.conv2.register_forward_hook(lambda m, a, o, index=block.gate_index: calls.append(index))
    run(model, torch.randn(2, 3, 64, 64), path)
    assert calls == [index for index, keep in enumerate(path) if keep]


@pytest.mark.parametrize("mode", ["grouped", "gathered", "auto"])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("reference", ["resnet26", "cifar_resnet14"])
def test_ways_to_run_a_mixed_batch_agree_with_the_mask(mode, channels_last, reference):
    model = gated(awake(reference)).double()
    torch.manual_seed(1)
    images = torch.randn(6, 3, 48, 48, dtype=torch.float64)
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    blocks = len(model.greenadapt_path)
    table = torch.rand(6, blocks) < 0.5
    base = type(model).retrofit_base
    call = lambda x: base.forward(model, x)  # noqa: E731
    with torch.inference_mode():
        expected = execute(call, images, table, "masked")
        found = execute(call, images, table, mode)
        one_by_one = torch.cat(
            [run(model, images[i : i + 1], tuple(table[i].tolist())) for i in range(len(images))]
        )
    assert not torch.allclose(expected, call(images), rtol=1e-3)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one_by_one, expected, rtol=1e-9, atol=1e-9)


def test_gate_follows_a_block_that_timm_never_had():
    class Scaled(timm.models.resnet.BasicBlock):
        def forward(self, x):
            return super().forward(x) * 0.5

    Scaled.__name__ = "BasicBlock"
    model = awake("resnet18")
    for stage in (model.layer1, model.layer2):
        stage[1].__class__ = Scaled
    images = torch.randn(2, 3, 64, 64)
    expected = model(images)
    torch.testing.assert_close(gated(copy.deepcopy(model))(images), expected, rtol=0, atol=0)


def test_no_image_gives_no_logits():
    model = greenadapt.wrap(awake("cifar_resnet14"), "blockdrop", keep=0.5)
    assert model(torch.randn(0, 3, 32, 32)).shape == (0, 10)


def test_fresh_policy_keeps_everything_and_is_counted():
    model = awake("cifar_resnet20", in_chans=1)
    retrofit = greenadapt.wrap(model, "blockdrop", keep=0.5)
    images = torch.randn(8, 1, 28, 28)
    assert retrofit.greenadapt_paths(images).all()
    torch.testing.assert_close(retrofit(images), model(images), rtol=0, atol=0)
    described = greenadapt.describe(retrofit)
    assert [b.name for b in described.blocks] == [f"layer{s}.{b}" for s in (1, 2, 3) for b in range(3)]
    assert described.parameters_after - described.parameters_before == sum(
        p.numel() for p in Policy(9, 1, 28).parameters()
    )


def test_policy_runs_for_features_and_intermediates_too():
    model = greenadapt.wrap(awake("cifar_resnet14"), "blockdrop", keep=0.5)
    torch.nn.init.normal_(model.greenadapt_policy.net.fc.weight, 0, 5)
    torch.nn.init.zeros_(model.greenadapt_policy.net.fc.bias)
    torch.manual_seed(3)
    images = torch.randn(8, 3, 32, 32)
    table = model.greenadapt_paths(images)
    assert len(table.unique(dim=0)) > 1, (
        "the policy must tell the images apart for this test to mean anything"
    )
    logits = model(images)
    torch.testing.assert_close(model.forward_head(model.forward_features(images)), logits)
    final, features = model.forward_intermediates(images)
    torch.testing.assert_close(model.forward_head(final), logits)
    assert [len(f) for f in features] == [8] * 4


@pytest.mark.parametrize(
    ("policy", "keep", "expected"),
    [
        ("first", 0.5, [0, 1, 2, 3, 4]),
        ("spread", 0.5, [1, 3, 5, 7, 9]),
        ("spread", 0.3, [1, 5, 8]),
        ("first", 0.01, [0]),
    ],
)
def test_fixed_paths(policy, keep, expected):
    assert [i for i, kept in enumerate(fixed_path(policy, 10, keep)) if kept] == expected


@pytest.mark.parametrize("blocks", [3, 8, 15, 16, 33, 54])
@pytest.mark.parametrize("policy", ["first", "spread", "random"])
def test_fixed_paths_keep_as_many_as_asked(policy, blocks):
    for keep in (0.1, 0.3, 0.5, 0.7, 1.0):
        assert sum(fixed_path(policy, blocks, keep)) == max(1, round(keep * blocks))


@pytest.mark.parametrize(
    "options",
    [
        {"keep": 0},
        {"paths": 1},
        {"objective": "sgd"},
        {"granularity": "layer"},
        {"keep": 1.2},
        {"policy": "best"},
        {"execution": "fast"},
        {"policy_downscale": 0},
        {"policy_downscale": 1000},
        {"keep": "abc"},
        {"keep": None},
        {"seed": 1.5},
        {"policy_net": "x"},
    ],
)
def test_options_out_of_range(options):
    with pytest.raises(greenadapt.GreenadaptError) as raised:
        greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", **options)
    assert raised.value.seen
    assert raised.value.todo


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "spread", "paths": 4}, "without effect, as the path is fixed: paths=4"),
        (
            {"policy": "first", "objective": "gumbel"},
            "without effect, as the path is fixed: objective=gumbel",
        ),
        ({"keep": 1.0}, "keep=1.0 keeps every block and has no policy"),
        ({}, "?: decided for each image"),
    ],
)
def test_a_description_says_what_comes_to_nothing_and_what_the_marks_mean(options, words):
    described = str(greenadapt.describe(greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", **options)))
    assert words in described


def test_a_fixed_path_as_asked_for_has_no_notes():
    model = greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", policy="spread", keep=0.5)
    assert greenadapt.describe(model).notes == []


def test_a_misspelt_choice_names_all_there_are():
    with pytest.raises(greenadapt.GreenadaptError) as raised:
        greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", execution="fast")
    assert "auto, grouped, gathered, masked" in raised.value.seen

"""Big-Little's depth and init: what the converted networks are made of, and what they compute at first."""

from __future__ import annotations

import pytest
import torch

import greenadapt
from greenadapt.adapters.biglittle.adapter import adapter
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.adapters.biglittle.families import family_of
from greenadapt.adapters.biglittle.selection import inherit
from greenadapt.adapters.biglittle.thinning import thin_copy
from greenadapt.errors import OptionError
from greenadapt.testing import awake
from greenadapt.zoo.bl_stages import Branches


def on_meta(name, **options):
    with torch.device("meta"):
        model = greenadapt.open_model(name, pretrained=False)
    return adapter.wrap(model, BigLittleConfig(**options))


@pytest.mark.parametrize(
    ("base", "paper"),
    [
        ("resnet50", "bl_resnet50"),
        ("resnet101", "bl_resnet101"),
        ("resnet152", "bl_resnet152"),
        ("resnext101_32x4d", "bl_resnext101_32x4d"),
        ("seresnext50_32x4d", "bl_seresnext50_32x4d"),
    ],
)
def test_paper_depth_gives_the_papers_network(base, paper):
    with torch.device("meta"):
        expected = greenadapt.open_model(paper, pretrained=False)
    shapes = {name: value.shape for name, value in expected.state_dict().items()}
    converted = on_meta(base, depth="paper")
    # The last stage stays the base's, whose shortcut is strided where the paper's is averaged.
    got = {name: value.shape for name, value in converted.state_dict().items()}
    assert sum(p.numel() for p in converted.parameters()) == sum(p.numel() for p in expected.parameters())
    different = {name for name in {*got, *shapes} if got.get(name) != shapes.get(name)}
    assert all(name.startswith("layer4.0.downsample.") for name in different)


@pytest.mark.parametrize(
    ("base", "blocks", "parameters", "macs"),
    [
        ("resnet50", [3, 4, 6], 26_694_568, 2_856_058_880),
        ("resnet101", [3, 4, 23], 46_526_888, 3_947_888_640),
        ("resnet152", [3, 8, 36], 63_290_792, 5_094e6),
    ],
)
def test_native_depth_keeps_the_blocks(base, blocks, parameters, macs):
    converted = on_meta(base)
    assert [stage.blocks for stage in converted.greenadapt_stages] == blocks
    assert sum(p.numel() for p in converted.parameters()) == parameters
    assert converted.greenadapt_saving.after == pytest.approx(macs, rel=1e-4 if base == "resnet152" else 0)


@pytest.mark.parametrize(("reference", "alpha"), [("resnet18", 64), ("convnext_tiny", 3), ("res2next50", 4)])
def test_any_alpha_that_divides_the_widths_converts(reference, alpha):
    converted = on_meta(reference, alpha=alpha)
    assert [stage.width // stage.thin for stage in converted.greenadapt_stages] == [alpha] * 3
    assert converted.greenadapt_saving.share > 0.25


def test_an_alpha_is_offered_only_if_it_divides_the_widths_of_every_stage():
    with torch.device("meta"):
        widths = {"depths": (2, 2, 2, 1), "dims": (16, 24, 48, 64)}
        model = greenadapt.open_model("convnext_atto", pretrained=False, **widths)
    with pytest.raises(OptionError, match=r"Use one of: 1, 2, 4, 8\.") as raised:
        adapter.wrap(model, BigLittleConfig(alpha=16))
    assert raised.value.seen == "alpha=16, width 24."


@pytest.mark.parametrize("reference", ["resnet26", "cifar_resnet20", "regnety_040"])
def test_paper_depth_of_other_networks_is_refused(reference):
    with pytest.raises(OptionError, match="depth='native'"):
        on_meta(reference, depth="paper")


def test_paper_depth_doubles_blocks_without_sharing_them():
    model = awake("resnet101")
    converted = adapter.wrap(model, BigLittleConfig(depth="paper"))
    big = converted.layer2[0].big
    assert len(big) == 7
    assert len({p.data_ptr() for p in big.parameters()}) == len(list(big.parameters()))


CHAINS = [
    *("cifar_resnet20", "resnet18", "resnet50", "seresnext50_32x4d", "regnety_008", "resnetv2_50"),
    *("nf_resnet26", "convnext_atto", "mobilenetv3_small_100"),
]


@pytest.mark.parametrize("reference", CHAINS)
def test_l1_starts_as_zero_does(reference):
    torch.manual_seed(0)
    model = awake(reference)
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        outputs = [greenadapt.wrap(model, "biglittle", init=init).eval()(images) for init in ("zero", "l1")]
    torch.testing.assert_close(*outputs)


def little_of(reference, init, **options):
    model = awake(reference, **options)
    wrapped = greenadapt.wrap(model, "biglittle", init=init).eval()
    branches = [m for m in wrapped.modules() if isinstance(m, Branches)]
    return model, branches


def test_l1_takes_the_strongest_channels_through_a_block():
    model, branches = little_of("cifar_resnet20", "l1")
    stage, little = model.layer1, branches[0].little[0]
    stream = sum(b.conv2.weight.abs().sum((1, 2, 3)) for b in stage).topk(8).indices.sort().values
    inside = stage[0].conv1.weight.abs().sum((1, 2, 3)).topk(8).indices.sort().values
    assert torch.equal(little.conv1.weight, stage[0].conv1.weight[inside])
    assert torch.equal(little.bn1.running_mean, stage[0].bn1.running_mean[inside])
    assert torch.equal(little.conv2.weight, stage[0].conv2.weight[stream][:, inside])
    x = torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(little.downsample(x), x[:, stream], rtol=1e-4, atol=1e-4)


def silence(block):
    """Every second channel of a block is zero, wherever it runs."""
    with torch.no_grad():
        for module in block.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight[:, 1::2] = 0
            for value in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
                if value.ndim:
                    value[1::2] = 0


@pytest.mark.parametrize(
    "reference", ["cifar_resnet20", "resnet18", "seresnet18", "resnet50", "mobilenetv3_small_100"]
)
def test_l1_of_a_block_with_silent_channels_loses_nothing(reference):
    model = awake(reference)
    stage = family_of(model).stages(model)[-1]
    block = stage.blocks[-1]
    silence(block)
    thin = torch.nn.Sequential(thin_copy(block, 2)).eval()
    inherit(thin, [block, block], stage.outputs // 2)
    x = torch.randn(2, stage.outputs, 8, 8).relu()
    x[:, 1::2] = 0
    expected = block(x.clone())
    assert expected.abs().sum() > 0
    torch.testing.assert_close(thin(x[:, ::2]), expected[:, ::2])


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("resnest26d", "splits its channels"),
        ("nf_regnet_b0", "does not divide its 23 groups"),
        ("fbnetc_100", "not alike"),
        ("fbnetv3_g", "not alike"),
    ],
)
def test_l1_refuses_blocks_that_cannot_be_cut_and_auto_starts_them_shut(reference, why):
    with pytest.raises(OptionError, match=why):
        on_meta(reference, init="l1")
    assert on_meta(reference).greenadapt_config.init == "zero"


@pytest.mark.parametrize("reference", ["resnet18d", "resnet50_gn", "cifar_resnet14", "mobilenetv2_050"])
def test_auto_cuts_where_it_can(reference):
    assert on_meta(reference).greenadapt_config.init == "l1"


def test_random_opens_the_new_branches():
    _, shut = little_of("cifar_resnet20", "zero")
    _, opened = little_of("cifar_resnet20", "random")
    assert all((b.expand[1].weight == 0).all() for b in shut)
    assert all((b.expand[1].weight == 1).all() for b in opened)


def test_options_survive_saving(tmp_path):
    model = greenadapt.wrap(awake("cifar_resnet14"), "biglittle", init="l1").eval()
    greenadapt.save(model, tmp_path / "saved")
    loaded = greenadapt.load(tmp_path / "saved").eval()
    assert greenadapt.recipe_of(loaded).options == {"alpha": 2, "beta": 4, "depth": "native", "init": "l1"}
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(images), loaded(images))

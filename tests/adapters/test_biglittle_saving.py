"""What a conversion saves, is said; what costs more, is refused; and images that are too small are too."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.models._features import FeatureGetterNet
from timm.models.resnet import BasicBlock, ResNet
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import greenadapt
from greenadapt.adapters.biglittle.adapter import adapter
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.adapters.biglittle.sketch import tried
from greenadapt.errors import ModelError, OptionError
from greenadapt.testing import awake


def test_the_description_is_in_words_and_in_the_options_of_the_command_line():
    told = str(greenadapt.describe(greenadapt.wrap(awake("cifar_resnet20"), "biglittle", init="zero")))
    assert "as Big-Little Net, alpha=2, beta=4, depth=native, init=zero\n- layer1: 3 blocks of 16 " in told
    assert "big 2 blocks of 16 channels at half resolution, little 1 block of 8 channels" in told


def test_counts_what_torch_counts_of_base_and_retrofit():
    base = awake("cifar_resnet20")
    thin = greenadapt.wrap(base, "biglittle")
    counts = []
    for network in (base, thin.eval()):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, 32, 32))
        counts.append(counter.get_total_flops() // 2)
    saving = thin.greenadapt_saving
    assert [saving.before, saving.after] == counts
    assert saving.share == pytest.approx(1 - counts[1] / counts[0])
    assert saving.reductions == {"layer1.0": 1, "layer2.0": 2}
    assert f"{counts[0]:,} => {counts[1]:,}" in str(greenadapt.describe(thin))


def test_trying_touches_neither_the_network_nor_the_random_numbers():
    model = awake("cifar_resnet14")
    state = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    saving = tried(model, lambda sketch: adapter.wrap(sketch, BigLittleConfig()))
    assert saving is not None
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(p.is_meta for p in model.parameters())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_network_that_cannot_run_without_numbers_is_not_counted():
    model = awake("cifar_resnet14")
    model.layer3 = Counted(model.layer3)
    thin = adapter.wrap(model, BigLittleConfig()).eval()
    assert thin.greenadapt_saving is None
    assert "could not be counted" in str(adapter.describe(thin))
    assert thin(torch.randn(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(OptionError, match=r"Use larger images"):
        thin(torch.randn(1, 3, 2, 2))


class Counted(nn.Module):
    """Looks at a number, which a tensor of the meta device has not."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.sum().item()
        return self.inner(x)


def shallow(width: int = 16) -> nn.Module:
    return ResNet(
        BasicBlock, (2, 1, 1, 1), num_classes=5, channels=(width, 32, 64, 128), zero_init_last=False
    )


def test_a_conversion_that_saves_little_says_so():
    thin = adapter.wrap(shallow(), BigLittleConfig())
    assert 0 < thin.greenadapt_saving.share < 0.25
    assert "that is little: 1 of its blocks run at half resolution" in str(adapter.describe(thin))
    deep = adapter.wrap(awake("cifar_resnet20"), BigLittleConfig())
    assert "that is little" not in str(adapter.describe(deep))


def test_a_conversion_that_costs_more_is_refused_before_anything_is_changed():
    model = shallow()
    kinds = [type(m) for m in model.modules()]
    with pytest.raises(OptionError, match="Use a greater alpha") as refused:
        adapter.wrap(model, BigLittleConfig(alpha=1))
    assert "instead of" in refused.value.seen
    assert kinds == [type(m) for m in model.modules()]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha": 3}, "Use one of: 1, 2, 4, 8, 16"),
        ({"depth": "paper"}, r"\[3, 4, 23, 3\].*|Use depth='native'"),
    ],
)
def test_a_refused_conversion_in_place_leaves_the_network_whole(options, match):
    model = awake("cifar_resnet14")
    kinds = [type(m) for m in model.modules()]
    with pytest.raises(OptionError, match=match):
        greenadapt.wrap(model, "biglittle", inplace=True, **options)
    assert kinds == [type(m) for m in model.modules()]


@pytest.mark.parametrize("reference", ["cifar_resnet20", "resnet18", "regnety_004"])
def test_an_image_too_small_is_refused_with_a_size_that_works(reference):
    thin = greenadapt.wrap(awake(reference), "biglittle").eval()
    with torch.no_grad():
        with pytest.raises(OptionError, match="too small for a branch at half resolution") as refused:
            thin(torch.randn(1, 3, 2, 2))
        words = refused.value.todo
        side = int(words.partition("of ")[2].partition("x")[0])
        assert thin(torch.randn(1, 3, side, side)).isfinite().all()
        with pytest.raises(OptionError, match=words):
            thin(torch.randn(1, 3, side // 2, side // 2))


def test_weights_of_another_depth_are_refused(tmp_path):
    small = greenadapt.wrap(awake("cifar_resnet14"), "biglittle")
    large = greenadapt.wrap(awake("cifar_resnet20"), "biglittle")
    for model, folder in ((small, "small"), (large, "large")):
        greenadapt.save(model, tmp_path / folder)
    (tmp_path / "small" / "model.safetensors").unlink()
    (tmp_path / "large" / "model.safetensors").rename(tmp_path / "small" / "model.safetensors")
    with pytest.raises(ModelError, match=r"unexpected: layer1\.0\.big\.1"):
        greenadapt.load(tmp_path / "small")


def test_features_only_of_a_saved_network(tmp_path):
    thin = greenadapt.wrap(awake("cifar_resnet14"), "biglittle").eval()
    taps = FeatureGetterNet(copy.deepcopy(thin), out_indices=(1, 2))(torch.randn(1, 3, 32, 32))
    assert [tuple(tap.shape[1:]) for tap in taps] == [(16, 16, 16), (32, 16, 16)]
    greenadapt.save(thin, tmp_path / "saved")
    again = greenadapt.load(tmp_path / "saved").eval()
    assert again.greenadapt_saving == thin.greenadapt_saving
    assert greenadapt.describe(again).notes == greenadapt.describe(thin).notes

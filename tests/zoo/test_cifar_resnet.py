"""The CIFAR ResNets: sizes, goldens, public weights, and timm's model API."""

import copy
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

import greenadapt.zoo
from greenadapt.counting import counting
from greenadapt.errors import OptionError
from greenadapt.zoo import SHORTCUTS, CifarBasicBlock, CifarResNet
from tests.golden import assert_golden, golden_input, load_golden, seed_weights

SHARED = Path(__file__).parents[2] / ".." / "shared"
DEPTHS = (8, 14, 20, 32, 44, 56, 110)


def make(name: str = "cifar_resnet8", **options: object) -> CifarResNet:
    model = timm.create_model(name, **options)
    assert isinstance(model, CifarResNet)
    return model.eval()


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def flops(model: nn.Module, size: int, in_chans: int = 3) -> int:
    """Two for each multiply-add of convolutions and linear layers, the convention of BlockDrop."""
    with counting(model) as counter:
        model(torch.zeros(1, in_chans, size, size))
        return 2 * counter.macs


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("cifar_resnet32", 10, 464_154),
        ("cifar_resnet32", 100, 470_004),
        ("cifar_resnet110", 10, 1_727_962),
        ("cifar_resnet110", 100, 1_733_812),
    ],
)
def test_parameter_counts_of_the_paper(name: str, classes: int, count: int) -> None:
    assert parameters(make(name, num_classes=classes)) == count


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("cifar_resnet32", 10, 137_725_184),
        ("cifar_resnet32", 100, 137_736_704),
        ("cifar_resnet110", 10, 505_775_360),
    ],
)
def test_flops_of_the_paper(name: str, classes: int, count: int) -> None:
    assert flops(make(name, num_classes=classes), 32) == count


def test_policy_trunk_of_the_paper() -> None:
    model = timm.create_model("policy_resnet10", num_classes=0).eval()
    value_head, choices = 512 + 1, 512 * 33 + 33
    assert parameters(model) + value_head + choices == 4_923_234
    assert model.num_features == 512
    bigger = timm.create_model("resnet18").state_dict()
    assert all(bigger[name].shape == tensor.shape for name, tensor in model.state_dict().items())


def test_the_cheaper_trunk_computes_what_the_stages_of_a_resnet18_do() -> None:
    torch.manual_seed(0)
    bigger = timm.create_model("resnet18").eval()
    for name, tensor in bigger.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    overlay = {"state_dict": bigger.state_dict()}
    trunk = timm.create_model("policy_resnet8", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    for stage in ("layer1", "layer2", "layer3"):
        setattr(bigger, stage, getattr(bigger, stage)[:1])
    bigger.layer4 = torch.nn.Identity()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(trunk.forward_features(images), bigger.forward_features(images))


def test_trunk_of_the_cifar_policy() -> None:
    assert parameters(make("cifar_resnet8", num_classes=0)) + (64 + 1) + (64 * 15 + 15) == 75_680


def test_golden_logits() -> None:
    model = seed_weights(make("cifar_resnet32"))
    with torch.no_grad():
        assert_golden(model(golden_input(32)), load_golden("bd")["resnet32_c10:all"])


def test_golden_logits_belong_to_one_shortcut_only() -> None:
    model = seed_weights(make("cifar_resnet32", shortcut="subsample"))
    with torch.no_grad(), pytest.raises(AssertionError):
        assert_golden(model(golden_input(32)), load_golden("bd")["resnet32_c10:all"], rel=1e-3)


def test_public_weights_score() -> None:
    weights = SHARED / "data" / "weights" / "resnet20-12fca82f.th"
    if not weights.exists():
        pytest.skip("the folder of shared data is not here")
    from PIL import Image

    state = torch.load(weights, map_location="cpu", weights_only=True)["state_dict"]
    state = {name.removeprefix("module.").replace("linear.", "fc."): tensor for name, tensor in state.items()}
    model = make("cifar_resnet20", shortcut="subsample")
    model.load_state_dict(state)
    mosaic = np.asarray(Image.open(SHARED / "data" / "cifar10" / "cifar10_test.webp").convert("RGB"))
    pixels = mosaic.reshape(100, 32, 100, 32, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, 32, 32)[:1000]
    labels = torch.from_numpy(np.load(SHARED / "data" / "cifar10" / "cifar10_labels.npz")["test"][:1000])
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        logits = model((torch.from_numpy(pixels.copy()).float() / 255 - mean) / std)
    assert (logits.argmax(1) == labels).float().mean() > 0.89


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize(("size", "in_chans"), [(28, 1), (32, 3), (30, 4), (33, 3), (27, 1)])
def test_sizes_and_channels(shortcut: str, size: int, in_chans: int) -> None:
    model = make(shortcut=shortcut, in_chans=in_chans, num_classes=7)
    x = torch.randn(2, in_chans, size, size)
    with torch.no_grad():
        features = model.forward_features(x)
        assert features.shape == (2, 64, -(-size // 4), -(-size // 4))
        assert model(x).shape == (2, 7)


def test_shortcuts_are_what_they_say() -> None:
    x = torch.randn(1, 2, 4, 4)
    pooled = SHORTCUTS["avgpool"](2, 6, 2)(x)
    assert pooled[0, 1, 0, 1].item() == pytest.approx(x[0, 1, :2, 2:].mean().item())
    assert pooled[:, 2:].abs().max() == 0
    sampled = SHORTCUTS["subsample"](2, 5, 2)(x)
    assert sampled[0, 2, 1, 0] == x[0, 1, 2, 0]
    assert sampled[:, [0, 3, 4]].abs().max() == 0


def test_unknown_shortcut_lists_the_two() -> None:
    with pytest.raises(OptionError, match="avgpool, subsample") as caught:
        make(shortcut="projection")
    assert "projection" in caught.value.seen


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_is_registered(depth: int) -> None:
    name = f"cifar_resnet{depth}"
    assert timm.is_model(name)
    model = make(name)
    blocks = [m for m in model.modules() if isinstance(m, CifarBasicBlock)]
    assert len(blocks) == (depth - 2) // 2
    assert [b.downsample is None for b in blocks].count(False) == 2
    assert model.pretrained_cfg["architecture"] == name
    assert model.pretrained_cfg["input_size"] == (3, 32, 32)
    assert name in greenadapt.zoo.cifar_resnet.__all__


def test_model_args_build_the_network_again() -> None:
    model = make(shortcut="subsample", global_pool="max", drop_rate=0.1)
    assert json.loads(json.dumps(model.model_args)) == model.model_args
    twin = make(**model.model_args)
    twin.load_state_dict(model.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model(x), twin(x))
    assert make().model_args == {"shortcut": "avgpool"}


def test_last_norm_is_zeroed_on_request_only() -> None:
    assert all(b.bn2.weight.min() == 1 for b in make().modules() if isinstance(b, CifarBasicBlock))
    zeroed = make(zero_init_last=True)
    assert all(b.bn2.weight.abs().max() == 0 for b in zeroed.modules() if isinstance(b, CifarBasicBlock))


def test_block_is_relu_of_branch_plus_shortcut() -> None:
    model = seed_weights(make())
    block = model.layer2[0]
    x = torch.randn(2, 16, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        branch = block.bn2(block.conv2(torch.relu(block.bn1(block.conv1(x)))))
        assert torch.equal(block(x), torch.relu(branch + block.downsample(x)))


def test_head() -> None:
    model = make(drop_rate=0.5)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        features = model.forward_features(x)
        pooled = model.forward_head(features, pre_logits=True)
        assert pooled.shape == (2, model.head_hidden_size) == (2, model.num_features)
        assert torch.equal(model.forward_head(features), model.fc(pooled))
        assert torch.equal(model(x), model.forward_head(features))
        torch.testing.assert_close(pooled, features.mean((2, 3)))
        model.train()
        assert (model.forward_head(features, pre_logits=True) == 0).any(), "the dropout does nothing"


def test_classifier_can_be_replaced() -> None:
    model = make().double()
    assert model.get_classifier() is model.fc
    assert model.get_classifier(name_only=True) == "fc"
    model.reset_classifier(4)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    assert model(x).shape == (1, 4)
    assert (model.num_classes, model.fc.training) == (4, False)
    model.reset_classifier(0)
    assert model(x).shape == (1, 64)
    model.reset_classifier(3, "catavgmax")
    assert model(x).shape == (1, 3)
    assert model.head_hidden_size == 128
    model.reset_classifier(0, "")
    assert model(x).shape == (1, 64, 8, 8)


def test_features_only_tells_the_truth() -> None:
    model = timm.create_model("cifar_resnet14", features_only=True).eval()
    outputs = model(torch.randn(1, 3, 32, 32))
    assert [o.shape[1] for o in outputs] == model.feature_info.channels() == [16, 16, 32, 64]
    assert [32 // o.shape[-1] for o in outputs] == model.feature_info.reduction() == [1, 1, 2, 4]
    last = timm.create_model("cifar_resnet14", features_only=True, out_indices=(3,), feature_cls="getter")
    assert last(torch.randn(1, 3, 32, 32))[0].shape == (1, 64, 8, 8)


def test_intermediates() -> None:
    model = make("cifar_resnet14")
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        final, found = model.forward_intermediates(x)
        assert torch.equal(final, model.forward_features(x))
        assert torch.equal(final, found[-1])
        assert [tuple(f.shape[1:]) for f in found] == [(16, 32, 32), (16, 32, 32), (32, 16, 16), (64, 8, 8)]
        only = model.forward_intermediates(x, indices=[0, 2], stop_early=True, intermediates_only=True)
    assert torch.equal(only[0], found[0])
    assert torch.equal(only[1], found[2])
    with pytest.raises(OptionError, match="NCHW"):
        model.forward_intermediates(x, output_fmt="NLC")


def test_stop_early_stops() -> None:
    model = make("cifar_resnet14")
    calls: list[int] = []
    model.layer3.register_forward_hook(lambda *_: calls.append(1))
    model.forward_intermediates(torch.randn(1, 3, 32, 32), indices=[1], stop_early=True)
    assert not calls


def test_pruning_keeps_the_wanted_features() -> None:
    model = make("cifar_resnet14")
    x = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        wanted = model.forward_intermediates(x, indices=[2], intermediates_only=True)[0]
        before = parameters(model)
        assert model.prune_intermediate_layers([2]) == [2]
        assert parameters(model) < before / 2
        assert torch.equal(model(x), wanted)
    assert model.num_features == 32
    model.reset_classifier(5, "avg")
    assert model(x).shape == (1, 5)


def test_groups_cover_every_parameter() -> None:
    model = make("cifar_resnet14")
    from timm.models import group_parameters

    fine = group_parameters(model, model.group_matcher(coarse=False))
    assert sum(len(names) for names in fine.values()) == len(list(model.parameters()))
    coarse = group_parameters(model, model.group_matcher(coarse=True))
    assert len(coarse) < len(fine)


def test_checkpointing_gives_the_same_gradients() -> None:
    plain = make("cifar_resnet14").train()
    saving = copy.deepcopy(plain)
    saving.set_grad_checkpointing()
    x = torch.randn(4, 3, 32, 32)
    for model in (plain, saving):
        model(x).square().sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_copies_and_formats() -> None:
    model = make("cifar_resnet14")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        want = model(x)
        assert torch.equal(copy.deepcopy(model)(x), want)
        assert torch.equal(pickle.loads(pickle.dumps(model))(x), want)
        last = copy.deepcopy(model).to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(x.to(memory_format=torch.channels_last)), want, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.bfloat16()(x.bfloat16()).float(), want, atol=0.2, rtol=0.1)


def test_exports() -> None:
    model = make("cifar_resnet8", shortcut="subsample")
    x = torch.randn(2, 3, 32, 32)
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))

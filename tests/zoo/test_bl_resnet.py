"""The Big-Little networks answer what timm's own tests ask of its models, and refuse what cannot be built."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters

from greenadapt.errors import ModelError, OptionError
from greenadapt.zoo import BL_SHAPES, BigLittleResNet
from tests.bl_reference import published_shapes, published_tensors

CHANNELS = [64, 256, 512, 1024, 2048]
REDUCTIONS = [2, 8, 16, 16, 32]
SIZE = 64
LAYERS = (2, 2, 3, 1)


def make(name: str = "bl_resnet50", **options: Any) -> BigLittleResNet:
    """A network that computes something: as it is built, every block is its shortcut."""
    torch.manual_seed(0)
    model = timm.create_model(name, zero_init_last=False, **options)
    assert isinstance(model, BigLittleResNet)
    return model.eval()


def small(**options: Any) -> BigLittleResNet:
    torch.manual_seed(0)
    return BigLittleResNet(LAYERS, num_classes=5, zero_init_last=False, **options).eval()


@pytest.fixture(scope="module")
def model() -> BigLittleResNet:
    """Not to be changed."""
    return make(layers=LAYERS)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", BL_SHAPES)
def test_registered_with_timm(name: str) -> None:
    assert timm.is_model(name)
    assert name in timm.list_models("bl_*")
    with torch.device("meta"):
        found = timm.create_model(name)
    assert found.shape == BL_SHAPES[name]
    assert (found.alpha, found.beta) == (2, 4)
    assert found.pretrained_cfg["architecture"] == name
    assert found.pretrained_cfg["input_size"] == (3, 224, 224)
    assert getattr(found, found.pretrained_cfg["first_conv"]).kernel_size == (7, 7)
    assert getattr(found, found.pretrained_cfg["classifier"]).out_features == 1000


@pytest.mark.parametrize("name", ["bl_resnet50", "bl_resnext50_32x4d", "bl_seresnext50_32x4d"])
def test_forward_and_backward(name: str, images: torch.Tensor) -> None:
    network = make(name, num_classes=42).train()
    outputs = network(images)
    outputs.mean().backward()
    assert outputs.shape == (2, 42)
    assert outputs.isfinite().all()
    without = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without
    assert network.layer3[0].little[0].conv1.weight.grad.abs().max() > 0


def test_starts_with_every_block_as_its_shortcut() -> None:
    network = timm.create_model("bl_seresnext50_32x4d")
    scales = {n: p for n, p in network.named_parameters() if n.endswith(("bn3.weight", "expand.1.weight"))}
    assert len(scales) == 19 + 3
    assert all((scale == ("expand" in name)).all() for name, scale in scales.items())
    biases = [p for n, p in network.named_parameters() if n.endswith(".bias") and not n.startswith("fc")]
    assert all(not bias.any() for bias in biases)
    assert (timm.create_model("bl_resnet50", zero_init_last=False).layer4[0].bn3.weight == 1).all()


def test_branches_are_added_before_the_activation(model: BigLittleResNet) -> None:
    x = torch.randn(1, 512, 9, 9).relu()
    branches, fusion = model.layer3
    with torch.no_grad():
        big = branches.big(x)
        assert (big < 0).any(), "the last big block has no activation"
        up = torch.nn.functional.interpolate(big, size=(9, 9), mode="nearest")
        assert torch.equal(model.layer3(x), fusion(torch.relu(up + branches.expand(branches.little(x)))))


def test_a_single_big_block_keeps_its_activation() -> None:
    branches = small().layer1[0]
    assert len(branches.big) == 1
    assert (branches.big(torch.randn(1, 64, 8, 8)) >= 0).all()


def test_head(model: BigLittleResNet, images: torch.Tensor) -> None:
    with torch.no_grad():
        features = model.forward_features(images)
        assert features.shape == (2, model.num_features, 2, 2) == (2, 2048, 2, 2)
        pooled = model.forward_head(features, pre_logits=True)
        assert pooled.shape == (2, model.head_hidden_size)
        assert torch.equal(model(images), model.forward_head(features))
        assert torch.equal(model.forward_head(features), model.get_classifier()(pooled))
    assert model.get_classifier(name_only=True) == "fc"


def test_classifier_can_be_replaced(images: torch.Tensor) -> None:
    network = small()
    network.reset_classifier(0)
    assert network(images).shape == (2, network.num_features)
    network.reset_classifier(0, "")
    assert network(images).shape == (2, 2048, 2, 2)
    network.reset_classifier(7, "catavgmax")
    assert network(images).shape == (2, 7)
    assert network.num_classes == 7


def test_in_chans_and_dropout(images: torch.Tensor) -> None:
    network = small(in_chans=1, drop_rate=0.9)
    grey = images[:, :1]
    assert network(grey).shape == (2, 5)
    assert torch.equal(network(grey), network(grey))
    pooled = network.train().forward_head(network.forward_features(grey), pre_logits=True)
    assert (pooled == 0).float().mean() > 0.5


@pytest.mark.parametrize("features", ["list", "dict", "hook", "getter", "fx"])
@pytest.mark.parametrize("indices", [(0, 1, 2, 3, 4), (1, 3)])
def test_features_only_tells_the_truth(
    model: BigLittleResNet, images: torch.Tensor, features: str, indices: tuple[int, ...]
) -> None:
    if features == "fx":
        pytest.importorskip("torchvision")
    extractor = timm.create_model(
        "bl_resnet50", layers=LAYERS, features_only=True, out_indices=indices, feature_cls=features
    ).eval()
    assert extractor.feature_info.channels() == [CHANNELS[i] for i in indices]
    assert extractor.feature_info.reduction() == [REDUCTIONS[i] for i in indices]
    # Some extractors hold the network as a module of theirs.
    inner = {"hook": "body.", "getter": "model.", "fx": "graph_module."}.get(features, "")
    names = [name.removeprefix(inner) for name in extractor.state_dict()]
    extractor.load_state_dict({f"{inner}{name}": model.state_dict()[name] for name in names})
    with torch.no_grad():
        outputs = extractor(images)
        outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
        wanted = model.forward_intermediates(images, indices=list(indices), intermediates_only=True)
    for output, want, i in zip(outputs, wanted, indices, strict=True):
        assert output.shape[1:] == (CHANNELS[i], SIZE // REDUCTIONS[i], SIZE // REDUCTIONS[i])
        assert torch.equal(output, want)


def test_intermediates(model: BigLittleResNet, images: torch.Tensor) -> None:
    with torch.no_grad():
        final, found = model.forward_intermediates(images)
        assert torch.equal(final, model.forward_features(images))
        assert torch.equal(final, found[-1])
        assert [f.shape[1] for f in found] == CHANNELS
        last = model.forward_intermediates(images, indices=2, intermediates_only=True)
        early = model.forward_intermediates(images, indices=[0, 2], stop_early=True, intermediates_only=True)
    assert [f.shape[1] for f in last] == CHANNELS[-2:]
    assert all(torch.equal(a, found[i]) for a, i in zip(early, (0, 2), strict=True))


def test_pruning_keeps_the_wanted_features(images: torch.Tensor) -> None:
    network = small()
    before = sum(p.numel() for p in network.parameters())
    with torch.no_grad():
        wanted = network.forward_intermediates(images, indices=[1, 3], intermediates_only=True)
        assert network.prune_intermediate_layers([1, 3]) == [1, 3]
        kept = network.forward_intermediates(images, indices=[1, 3], intermediates_only=True)
    assert all(torch.equal(a, b) for a, b in zip(wanted, kept, strict=True))
    assert sum(p.numel() for p in network.parameters()) < before / 2
    assert not list(network.layer4.children())
    assert network.num_classes == 0


def test_groups_cover_every_parameter(model: BigLittleResNet) -> None:
    fine = group_parameters(model, model.group_matcher())
    assert sum(len(names) for names in fine.values()) == len(list(model.parameters()))
    coarse = group_parameters(model, model.group_matcher(coarse=True))
    assert len(coarse) == 1 + 4 + 1, "stem, stages, classifier"
    assert "maxpool.little.0.weight" in coarse[0]


def test_checkpointing_gives_the_same_gradients(images: torch.Tensor) -> None:
    plain = small().train()
    saving = copy.deepcopy(plain)
    saving.set_grad_checkpointing()
    for network in (plain, saving):
        network(images).square().sum().backward()
    for a, b in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)


def test_model_args_build_it_again() -> None:
    network = make(alpha=4, beta=1, global_pool="max", drop_rate=0.1)
    assert network.model_args == {"alpha": 4, "beta": 1, "global_pool": "max", "drop_rate": 0.1}
    twin = timm.create_model("bl_resnet50", **network.model_args)
    twin.load_state_dict(network.state_dict())


def test_copies(images: torch.Tensor) -> None:
    network = small()
    with torch.no_grad():
        want = network(images)
        assert torch.equal(copy.deepcopy(network)(images), want)
        assert torch.equal(pickle.loads(pickle.dumps(network))(images), want)


@pytest.mark.parametrize(
    ("name", "alpha", "works"),
    [
        ("bl_resnet50", 3, "1, 2, 4, 8, 16, 32, 64."),
        ("bl_resnet50", 0, "1, 2, 4, 8, 16, 32, 64."),
        ("bl_resnet50", 2.0, "1, 2, 4, 8, 16, 32, 64."),
        ("bl_resnet50", True, "1, 2, 4, 8, 16, 32, 64."),
        ("bl_resnext50_32x4d", 64, "1, 2, 4, 8, 16, 32."),
        ("bl_seresnext50_32x4d", 32, "1, 2, 4, 8, 16."),
    ],
)
def test_an_alpha_that_does_not_divide(name: str, alpha: Any, works: str) -> None:
    with pytest.raises(OptionError) as raised:
        timm.create_model(name, alpha=alpha)
    assert works in raised.value.todo
    assert f"alpha={alpha!r}" in raised.value.seen


@pytest.mark.parametrize("name", ["bl_resnet50", "bl_resnext50_32x4d", "bl_seresnext50_32x4d"])
def test_every_alpha_that_is_offered_runs(name: str) -> None:
    with pytest.raises(OptionError) as raised:
        timm.create_model(name, alpha=3)
    offered = [int(word) for word in raised.value.todo.removeprefix("Use one of: ").rstrip(".").split(", ")]
    with torch.device("meta"), torch.no_grad():
        for alpha in offered:
            found = timm.create_model(name, alpha=alpha).eval()
            assert found(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)


@pytest.mark.parametrize("beta", [0, -1, 1.5, True])
def test_a_beta_below_one(beta: Any) -> None:
    with pytest.raises(OptionError, match="1 or more"):
        timm.create_model("bl_resnet50", beta=beta)


def test_a_beta_beyond_the_depth_leaves_one_block() -> None:
    with torch.device("meta"):
        network = timm.create_model("bl_resnet50", beta=1000)
    assert [len(s[0].little) for s in (network.layer1, network.layer2, network.layer3)] == [1, 1, 1]


def test_a_stage_of_one_block() -> None:
    with pytest.raises(OptionError, match="two blocks or more"):
        BigLittleResNet((1, 2, 2, 2))


@pytest.mark.parametrize("features_only", [False, True])
def test_an_image_too_small_for_half_resolution(features_only: bool) -> None:
    network = timm.create_model("bl_resnet50", features_only=features_only).eval()
    for size in ((16, 16), (64, 8)):
        with pytest.raises(OptionError, match="17x17 px or more") as raised, torch.no_grad():
            network(torch.zeros(1, 3, *size))
        assert f"{size[0] // 2}x{size[1] // 2} px" in raised.value.seen
    with torch.no_grad():
        network(torch.zeros(1, 3, 17, 17))


def test_no_weights_are_published_with_timm() -> None:
    with pytest.raises(ModelError, match="ibm:FILE") as raised:
        timm.create_model("bl_resnet101", pretrained=True)
    assert "github.com/IBM/BigLittleNet" in raised.value.seen


def test_published_weights_load_as_timm_loads_any(images: torch.Tensor) -> None:
    theirs = published_tensors(published_shapes())
    overlay = {"state_dict": theirs}
    full = timm.create_model("bl_resnet50", pretrained=True, pretrained_cfg_overlay=overlay).eval()
    assert torch.equal(full.maxpool.fuse[0].weight, theirs["bl_init.weight"])
    grey = timm.create_model(
        "bl_resnet50", pretrained=True, pretrained_cfg_overlay=overlay, in_chans=1, num_classes=3
    ).eval()
    with torch.no_grad():
        a = full.forward_features(images[:, :1].expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey.forward_features(images[:, :1]), a, rtol=1e-3, atol=1e-3)


def test_is_scripted() -> None:
    model = timm.create_model("bl_resnet50", alpha=4, num_classes=5).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.script(model)(images), model(images))

"""The source, the plugin as it is installed, and what greenadapt makes of torchvision's networks."""

import time
from importlib.metadata import entry_points

import pytest
import torch
import torchvision
from greenadapt_torchvision import greenadapt_model_sources, source

import greenadapt
from greenadapt import plugins
from greenadapt.errors import ModelError, OptionError

IMAGES = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def awake(name: str, **model_args: int) -> torch.nn.Module:
    """A fresh network whose every block matters, since its norms are drawn at random."""
    torch.manual_seed(0)
    model = greenadapt.open_model(f"torchvision:{name}", pretrained=False, num_classes=10, **model_args)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                torch.nn.init.normal_(tensor, 0.3, 0.2)
    return model


@pytest.fixture
def kept_weights(tmp_path, monkeypatch):
    """torch's cache with a checkpoint of resnet18 in it, in place of the published one."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "HASH_REGEX", torch.hub.re.compile("-(no hash here)"))
    torch.manual_seed(1)
    network = torchvision.models.resnet18().eval()
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    torch.save(network.state_dict(), folder / weights.url.rpartition("/")[2])
    return network


def test_it_is_installed_as_a_plugin():
    entry = entry_points(group="greenadapt")["torchvision"]
    assert entry.dist.name == "greenadapt-torchvision"
    registry = plugins.load()
    record = next(record for record in registry.plugins if record.name == "torchvision")
    assert (record.distribution, record.status, record.problem) == ("greenadapt-torchvision", "active", None)
    assert record.hooks == ("greenadapt_model_sources",)
    assert registry.find("model_source", "torchvision") is source


def test_the_hook_is_light():
    assert [provider.name for provider in greenadapt_model_sources()] == ["torchvision"]


def test_names_are_torchvisions_classifiers():
    names = source.names()
    assert {"resnet50", "vit_b_16", "mobilenet_v3_large"} <= set(names)
    assert "fcn_resnet50" not in names, "no classifier"
    assert source.names("resnet1*") == ["resnet101", "resnet152", "resnet18"]
    assert source.names("resnet50.*") == ["resnet50.IMAGENET1K_V1", "resnet50.IMAGENET1K_V2"]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "googlenet"])
def test_a_network_opens_without_weights(name):
    model = source.open(name, False, {"num_classes": 5})
    assert not model.training
    assert model.num_classes == 5
    assert model(IMAGES).shape == (4, 5)


def test_it_says_how_its_images_are_to_be():
    for name, size, crop in (("resnet50.IMAGENET1K_V1", 224, 0.875), ("resnet50", 224, 224 / 232)):
        cfg = source.open(name, False, {}).pretrained_cfg
        assert cfg["input_size"] == (3, size, size)
        assert cfg["crop_pct"] == pytest.approx(crop)
        assert cfg["mean"] == (0.485, 0.456, 0.406)
        assert cfg["std"] == (0.229, 0.224, 0.225)
        assert (cfg["first_conv"], cfg["classifier"]) == ("conv1", "fc")
    with torch.device("meta"):
        model = source.open("vit_h_14", False, {})
    assert model.pretrained_cfg["input_size"] == (3, 224, 224), (
        "made for that, though its weights are for 518"
    )


@pytest.mark.parametrize(
    ("name", "seen", "todo"),
    [
        ("resnet5", "classifiers", "Did you mean resnet50"),
        ("resnet50.IMAGENET1K_V3", "IMAGENET1K_V2", "Did you mean IMAGENET1K_V"),
        ("resnet50.swag", "IMAGENET1K_V1, IMAGENET1K_V2", "leave them out: resnet50"),
    ],
)
def test_an_unknown_name_says_what_is_there(name, seen, todo):
    with pytest.raises(ModelError) as raised:
        source.open(name, False, {})
    assert seen in raised.value.seen
    assert todo in raised.value.todo


def test_an_argument_that_the_network_does_not_take_is_an_error():
    with pytest.raises(OptionError, match="in_chans=1"):
        source.open("resnet18", False, {"in_chans": 1})


def test_weights_that_are_kept_are_loaded(kept_weights):
    assert torch.equal(source.open("resnet18", True, {})(IMAGES), kept_weights(IMAGES))
    renewed = source.open("resnet18.IMAGENET1K_V1", True, {"num_classes": 3})
    assert renewed(IMAGES).shape == (4, 3)
    assert renewed.num_classes == 3
    assert torch.equal(renewed.layer4[1].conv2.weight, kept_weights.layer4[1].conv2.weight)


def test_weights_that_cannot_be_had_are_told_in_seconds(kept_weights, monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    started = time.perf_counter()
    with pytest.raises(ModelError) as raised:
        source.open("resnet34", True, {})
    assert time.perf_counter() - started < 8
    assert len(str(raised.value).splitlines()) == 3
    assert "download.pytorch.org cannot be reached" in raised.value.seen


@pytest.mark.parametrize(("name", "model_args"), [("resnet18", {}), ("resnet50", {"width_per_group": 8})])
def test_blockdrop_takes_it_and_keeps_its_logits(name, model_args):
    base = awake(name, **model_args)
    with torch.no_grad():
        expected = base(IMAGES)
        wrapped = greenadapt.wrap(base, "blockdrop", keep=1.0)
        assert torch.equal(wrapped(IMAGES), expected)
        assert torch.equal(base(IMAGES), expected), "the base is as it was"
        thin = greenadapt.wrap(base, "blockdrop", keep=0.5, policy="spread")
        assert not torch.allclose(thin(IMAGES), expected)
    assert isinstance(wrapped, torchvision.models.ResNet)


def test_a_retrofit_is_saved_and_loaded(tmp_path):
    thin = greenadapt.wrap(awake("resnet18"), "blockdrop", keep=0.5)
    again = greenadapt.load(greenadapt.save(thin, tmp_path / "thin"))
    with torch.no_grad():
        assert torch.equal(again(IMAGES), thin(IMAGES))


def test_it_is_audited():
    plan = greenadapt.Plan(
        batch_size=2,
        trials=2,
        trial_seconds=0.05,
        warmup_seconds=0.1,
        idle_seconds=0,
        device="cpu",
        meter="none",
    )
    profile = greenadapt.audit(awake("resnet18"), plan=plan)
    assert profile.subject.reference == "torchvision:resnet18"
    assert profile.subject.weights == "random"
    assert profile.conditions.input_shape == (3, 224, 224)
    assert profile.subject.macs_per_image == pytest.approx(1.8136e9, rel=1e-3)

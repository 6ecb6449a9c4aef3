"""Networks that somebody has changed before they are converted: hooks, types, computed or shared weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import greenadapt
from greenadapt.errors import ModelError
from greenadapt.testing import awake


def normed(model):
    parametrizations.weight_norm(model.layer1[1].conv1)


def pruned(model):
    prune.l1_unstructured(model.layer1[1].conv1, "weight", 0.5)


def tied(model):
    model.layer1[2].conv1 = model.layer1[1].conv1


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (normed, "layer1.1.conv1 are computed"),
        (pruned, "are computed"),
        (tied, "conv1 is layer1.1.conv1 once more"),
    ],
)
def test_layers_that_cannot_be_cut_are_refused_and_left(alter, why):
    model = awake("cifar_resnet20")
    alter(model)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        before = model(images)
        with pytest.raises(ModelError, match=why):
            greenadapt.wrap(model, "biglittle", inplace=True)
        assert torch.equal(model(images), before)


def test_a_compiled_network_and_one_of_torchvision_are_told_what_to_do():
    recipe = greenadapt.recipe_of(awake("cifar_resnet20"))
    compiled = torch.compile(awake("cifar_resnet20"), backend="eager")
    compiled.greenadapt_recipe = recipe
    with pytest.raises(ModelError, match=r"given to torch\.compile"):
        greenadapt.wrap(compiled, "biglittle")
    from torchvision.models import resnet18

    foreign = resnet18()
    foreign.greenadapt_recipe = recipe
    with pytest.raises(ModelError, match="open timm's of the same name"):
        greenadapt.wrap(foreign, "biglittle")


def test_features_alone_are_refused():
    import timm

    with pytest.raises(ModelError, match="features_only"):
        greenadapt.wrap(timm.create_model("resnet18", features_only=True), "biglittle")


def test_hooks_of_the_base_stay_see_no_trial_and_are_not_copied():
    model, seen = awake("cifar_resnet20"), []
    model.layer1.register_forward_hook(lambda *_: seen.append("stage"))
    model.layer1[-1].conv2.register_forward_hook(lambda *_: seen.append("fusion"))
    converted = greenadapt.wrap(model, "biglittle", inplace=True).eval()
    assert seen == [], "nothing runs while a network is converted"
    converted(torch.randn(1, 3, 32, 32))
    assert sorted(seen) == ["fusion", "stage"]


def test_a_hook_sees_the_same_with_and_without_gradients():
    converted = greenadapt.wrap(awake("cifar_resnet20"), "biglittle", init="random").eval()
    images, seen = torch.randn(1, 3, 32, 32), []
    converted.layer1[0].expand.register_forward_hook(lambda _, __, given: seen.append(given))
    converted(images)
    with torch.no_grad():
        converted(images)
    assert torch.equal(seen[0], seen[1])


def test_inherited_layers_keep_their_types():
    model = awake("cifar_resnet20").double()
    model.fc.float()
    converted = greenadapt.wrap(model, "biglittle")
    assert converted.fc.weight.dtype == torch.float32
    assert converted.layer1[0].expand[0].weight.dtype == torch.float64
    assert {p.dtype for p in converted.layer1.parameters()} == {torch.float64}


def test_a_default_device_does_not_leak_into_the_new_layers():
    with torch.device("meta"):
        converted = greenadapt.wrap(awake_on_cpu(), "biglittle")
    assert {p.device.type for p in converted.parameters()} == {"cpu"}


def awake_on_cpu():
    with torch.device("cpu"):
        return awake("cifar_resnet20")


def test_norms_folded_into_their_convolutions_start_shut():
    model = greenadapt.open_model("resnet18", pretrained=False).eval()
    for block in (*model.layer1, *model.layer2, *model.layer3):
        for number in ("1", "2"):
            conv, norm = getattr(block, f"conv{number}"), getattr(block, f"bn{number}")
            setattr(block, f"conv{number}", nn.utils.fuse_conv_bn_eval(conv, norm))
            setattr(block, f"bn{number}", nn.Identity())
    converted = greenadapt.wrap(model, "biglittle", inplace=True)
    assert converted(torch.randn(1, 3, 64, 64)).shape == (1, 1000)


def test_a_converted_network_is_traced_by_torch_fx():
    converted = greenadapt.wrap(awake("cifar_resnet20"), "biglittle").eval()
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(torch.fx.symbolic_trace(converted)(images), converted(images))


@pytest.mark.parametrize("made", [{"global_pool": "max"}, {"act_layer": "silu"}])
def test_what_leaves_no_trace_in_the_tensors_is_refused_by_save(made, tmp_path):
    import timm

    model = timm.create_model("resnet18", num_classes=5, **made)
    converted = greenadapt.wrap(model, "biglittle")
    if "global_pool" in made:
        images = torch.randn(1, 3, 64, 64)
        loaded = greenadapt.load(greenadapt.save(converted, tmp_path / "saved")).eval()
        assert torch.equal(loaded(images), converted.eval()(images))
    else:
        with pytest.raises(ModelError, match=r"SiLU.*not ReLU"):
            greenadapt.save(converted, tmp_path / "saved")


def test_what_only_trainings_see_does_not_keep_a_model_from_being_saved(tmp_path):
    import timm

    model = greenadapt.wrap(
        timm.create_model("resnet18", num_classes=5, drop_path_rate=0.3), "biglittle"
    ).eval()
    images = torch.randn(1, 3, 64, 64)
    loaded = greenadapt.load(greenadapt.save(model, tmp_path / "saved")).eval()
    assert torch.equal(loaded(images), model(images))


def test_a_new_pooling_is_saved(tmp_path):
    converted = greenadapt.wrap(greenadapt.open_model("resnet18", pretrained=False), "biglittle").eval()
    converted.reset_classifier(3, "max")
    images = torch.randn(1, 3, 64, 64)
    loaded = greenadapt.load(greenadapt.save(converted, tmp_path / "saved")).eval()
    assert torch.equal(loaded(images), converted.eval()(images))

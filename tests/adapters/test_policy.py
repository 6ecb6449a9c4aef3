"""The policy network: the paper's exactly, any of timm's, open before training, the same after loading."""

from __future__ import annotations

import pytest
import timm
import torch

import greenadapt
from greenadapt.adapters.blockdrop.policy import AFFORDABLE, Policy
from greenadapt.adapters.blockdrop.policy_net import open_head
from greenadapt.counting import counting
from greenadapt.errors import ModelError, OptionError
from greenadapt.recipe import Training
from greenadapt.testing import awake
from tests.golden import drawn, golden_input, load_golden

PUBLISHED = [
    # net, size, downscale, K, features; parameters and FLOPs (2 x MAC), with a value head that has one output
    ("cifar_resnet8", 32, 1, 15, 64, 75_680, 24_479_744),
    ("cifar_resnet8", 32, 1, 54, 64, 78_215, 24_484_736),
    ("policy_resnet10", 224, 2, 33, 512, 4_923_234, 471_918_592),
]


@pytest.mark.parametrize(("net", "size", "downscale", "blocks", "features", "parameters", "flops"), PUBLISHED)
def test_the_papers_policies_but_for_their_value_head(
    net, size, downscale, blocks, features, parameters, flops
):
    policy = Policy(blocks, 3, size, net, downscale)
    assert sum(p.numel() for p in policy.parameters()) == parameters - (features + 1)
    assert 2 * policy.macs == flops - 2 * features
    with counting(policy) as counter:
        policy.eval()(torch.zeros(1, 3, size, size))
    assert counter.macs == policy.macs


@pytest.mark.parametrize(
    ("case", "net", "size", "downscale", "blocks"),
    [
        ("policy32_nb15", "cifar_resnet8", 32, 1, 15),
        ("policy224_nb33", "policy_resnet10", 224, 2, 33),
    ],
)
def test_goldens_of_the_published_policies(case, net, size, downscale, blocks):
    policy = Policy(blocks, 3, size, net, downscale).double().eval()
    state = policy.net.state_dict()
    for name, tensor in state.items():
        published = name.replace("fc.", "logit.") if name.startswith("fc.") else f"features.{name}"
        if tensor.is_floating_point():
            tensor.copy_(drawn(published, tuple(tensor.shape)))
    with torch.inference_mode():
        probabilities = policy(golden_input(size))
    golden = load_golden("bd")[case]
    for row in (0, 1):
        expected = torch.tensor(golden[f"probs_row{row}_first6"], dtype=torch.float64)
        torch.testing.assert_close(probabilities[row, :6], expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("base", "taken"),
    [("cifar_resnet56", "cifar_resnet8"), ("resnet50", "policy_resnet8"), ("resnet18", "policy_resnet6")],
)
def test_the_automatic_policy_is_one_that_the_base_can_afford_and_is_saved_by_name(base, taken, tmp_path):
    model = greenadapt.wrap(timm.create_model(base), "blockdrop", keep=0.5)
    assert model.greenadapt_policy.name == taken
    assert greenadapt.recipe_of(model).options["policy_net"] == taken
    loaded = greenadapt.load(greenadapt.save(model, tmp_path / "model"))
    assert loaded.greenadapt_policy.name == taken


@pytest.mark.parametrize(("macs", "taken"), [(3.6e9, "policy_resnet8"), (3.5e9, "policy_resnet6")])
def test_what_a_base_can_afford(macs, taken):
    policy = Policy(5, 3, 224, base_macs=macs)
    assert policy.name == taken
    assert policy.macs <= AFFORDABLE * macs


def test_the_cheap_policy_costs_a_third_of_a_block_of_a_resnet56():
    assert Policy(27, 3, 32, "policy_resnet6", 1).macs < Policy(27, 3, 32, "cifar_resnet8", 2).macs
    assert 2 * Policy(27, 3, 32, "policy_resnet6", 1).macs < 4_000_000


@pytest.mark.parametrize(
    ("net", "size", "downscale"),
    [
        ("auto", 32, 2),
        ("policy_resnet6", 28, 1),
        ("test_vit", 96, 2),  # built for the size it sees
        ("test_vit", 100, 2),  # whose patches do not divide 50 px
        ("test_convnext", 40, 2),
        ("test_maxvit", 96, 1),
        ("deit_tiny_distilled_patch16_224", 64, 1),  # two classifiers
        ("levit_128s", 128, 2),  # a norm before the classifier
        ("dla34", 64, 2),  # takes multiples of 32 alone
        ("resnetv2_18", 64, 2),  # a convolution for a classifier
    ],
)
def test_any_network_of_timm_fits_what_it_sees_and_keeps_every_block(net, size, downscale):
    policy = Policy(7, 3, size, net, downscale).eval()
    for height, width in ((size, size), (size + 24, size + 8)):
        torch.manual_seed(0)
        probabilities = policy(torch.randn(3, 3, height, width))
        assert probabilities.shape == (3, 7)
        # A little above a half: kept, and within reach of a change.
        torch.testing.assert_close(probabilities, torch.full((3, 7), 1.0).sigmoid(), atol=1e-3, rtol=0)


def test_a_policy_can_learn_to_tell_images_apart_through_its_open_head():
    torch.manual_seed(0)
    policy = Policy(4, 3, 48, "test_vit", 1)
    images = torch.randn(8, 3, 48, 48)
    optimizer = torch.optim.SGD(policy.parameters(), 0.5)
    target = (torch.arange(8) % 2).float()[:, None].expand(8, 4)
    for _ in range(30):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(policy(images), target).backward()
        optimizer.step()
    assert ((policy(images) >= 0.5).float() == target).float().mean() > 0.9


def test_a_classifier_without_bias_is_given_one():
    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(3, 5, bias=False)

        def get_classifier(self):
            return self.fc

        def forward(self, x):
            return self.fc(x)

    net = Plain()
    open_head(net, 5)
    torch.testing.assert_close(net(torch.randn(2, 3)), torch.ones(2, 5))
    assert "fc.bias" in net.state_dict()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_probabilities_are_never_in_half_precision(dtype):
    policy = Policy(3, 3, 50, "test_vit", 1).eval().to(dtype)
    assert policy(torch.randn(2, 3, 40, 40, dtype=dtype)).dtype == max(
        dtype, torch.float32, key=lambda each: torch.finfo(each).bits
    )


@pytest.mark.parametrize(
    ("options", "seen", "todo"),
    [
        ({"policy_net": "resnet10x"}, "policy_net='resnet10x'", "Did you mean resnet10t"),
        ({"policy_net": "resnet10t.c3_in1"}, "tags of resnet10t are: c3_in1k", "Did you mean c3_in1k?"),
        ({"policy_downscale": 5}, "makes 32x32 px 6x6", "policy_downscale=4 or less"),
        ({"policy_net": "volo_d1_224", "policy_downscale": 1}, "volo_d1_224", "resnet10t"),
    ],
)
def test_what_cannot_be_a_policy_is_refused_in_three_lines(options, seen, todo):
    with pytest.raises(OptionError) as raised:
        greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", keep=0.5, **options)
    assert len(str(raised.value).splitlines()) == 3
    assert seen in raised.value.seen
    assert todo in raised.value.todo


def test_a_transformer_as_policy_is_saved_and_loaded(tmp_path):
    options = {"keep": 0.5, "policy_net": "test_vit", "policy_downscale": 1}
    model = greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", **options)
    torch.nn.init.normal_(model.greenadapt_policy.net.head.weight, 0, 5)
    torch.manual_seed(1)
    images = torch.randn(6, 3, 32, 32)
    assert len(model.greenadapt_paths(images).unique(dim=0)) > 1
    loaded = greenadapt.load(greenadapt.save(model, tmp_path / "model"))
    torch.testing.assert_close(loaded(images), model(images), rtol=0, atol=0)
    assert torch.equal(loaded.greenadapt_paths(images), model.greenadapt_paths(images))


def test_the_policy_of_a_base_trained_on_small_images_is_built_again_on_loading(tmp_path):
    base = awake("test_resnet", num_classes=10)
    training = Training(
        dataset="tiny", images=1, epochs=1, batch_size=1, learning_rate=0.1, weight_decay=0.0,
        optimizer="SGD", seed=0, input_shape=(3, 32, 32), objective="cross-entropy", seconds=1.0,
    )  # fmt: skip
    base.greenadapt_recipe = base.greenadapt_recipe.model_copy(update={"training": [training]})
    model = greenadapt.wrap(base, "blockdrop", keep=0.5)
    assert model.greenadapt_policy.name == "cifar_resnet8"
    loaded = greenadapt.load(greenadapt.save(model, tmp_path / "model"))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded(images), model(images), rtol=0, atol=0)


def published_resnet18() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return timm.create_model("resnet18").state_dict()


def test_published_weights_go_into_the_trunk_and_the_head_stays_open():
    state = published_resnet18()

    def open_model(reference, **arguments):
        name = reference.removeprefix("timm:")
        return timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **arguments
        )

    policy = Policy(6, 3, 224)
    policy.inherit(open_model)
    stages, shortcut = policy.net.stages, "layer3.0.downsample.0.weight"
    assert torch.equal(policy.net.stem.conv1.conv.weight, state["conv1.weight"])
    assert torch.equal(stages[1][0].conv2_kxk.bn.running_var, state["layer2.0.bn2.running_var"])
    assert torch.equal(stages[2][0].shortcut.conv.weight, state[shortcut])
    assert policy.weights == "policy_resnet8.tv_resnet18"
    assert any("tv_resnet18" in note for note in policy.notes())
    with torch.inference_mode():
        assert (policy.eval()(torch.randn(1, 3, 64, 64)) > 0.5).all()


def test_weights_out_of_reach_are_said_and_a_load_does_not_ask_for_them(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = []

    def open_model(reference, **arguments):
        asked.append(reference)
        raise ModelError("They cannot be downloaded.", "HF_HUB_OFFLINE is set.", "Try again.")

    monkeypatch.setattr("greenadapt.models.open_model", open_model)
    base = awake("test_resnet")
    del base.greenadapt_recipe
    model = greenadapt.wrap(base, "blockdrop", keep=0.5, policy_net="policy_resnet8")
    assert asked == ["timm:policy_resnet8"]
    assert "random weights: HF_HUB_OFFLINE is set" in " ".join(greenadapt.describe(model).notes)
    assert capfd.readouterr().err == ""
    loaded = greenadapt.load(greenadapt.save(model, tmp_path / "model"))
    assert asked == ["timm:policy_resnet8"]
    assert loaded.greenadapt_policy.weights is None
    assert not any("random" in note for note in greenadapt.describe(loaded).notes)

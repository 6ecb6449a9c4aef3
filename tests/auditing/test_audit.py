"""Audits of small real networks on the CPU."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

import greenadapt
from greenadapt import audit
from greenadapt.profile import Plan, Profile
from greenadapt.recompute import differences
from greenadapt.statistics import unpack_hits
from tests.small import SHORT, images, network


@pytest.fixture(scope="module")
def pair() -> list[Profile]:
    first, second = network(), network("cifar_resnet14", seed=1)
    found = audit(
        first, second, data=images(), plan=SHORT, names=["small", "larger"], roles={"small": "base"}
    )
    assert isinstance(found, list)
    return found


def test_two_networks_are_interleaved(pair):
    assert pair[0].run_id == pair[1].run_id
    order = {trial.order: name for name, profile in zip("AB", pair, strict=True) for trial in profile.trials}
    assert "".join(order[k] for k in range(8)) == "ABBABAAB"
    assert [trial.discarded for trial in pair[0].trials] == [True, True, *[False] * (len(pair[0].trials) - 2)]


def test_the_profile_says_what_was_audited(pair):
    small, larger = pair
    assert (small.subject.name, small.subject.role, larger.subject.role) == ("small", "base", None)
    assert small.subject.recipe.base.name == "cifar_resnet8"
    assert small.subject.weights == "random"
    assert small.subject.parameters == sum(p.numel() for p in network().parameters())
    assert small.subject.weights_sha256 != larger.subject.weights_sha256
    assert small.conditions.input_shape == (1, 28, 28)
    assert small.conditions.data == "real"
    assert small.conditions == larger.conditions
    assert small.plan == SHORT
    assert any("random" in reason for reason in small.validity.reasons)
    assert any("quick" in reason.lower() for reason in small.validity.reasons)


def test_energy_without_a_meter_is_unknown(pair):
    method, summary = pair[0].method, pair[0].summary
    assert (method.kind, method.meter, summary.joules_per_inference) == (None, None, None)
    assert method.why_not == "No meter was wanted."
    assert summary.seconds_per_inference.mean > 0


def test_accuracy_is_that_of_the_network(pair):
    model, loader = network().eval(), images()
    with torch.no_grad():
        expected = [bool(hit) for x, y in loader for hit in (model(x).argmax(1) == y)]
    quality = pair[0].quality
    assert quality is not None
    assert quality.images == 44
    assert unpack_hits(quality.hits, 44) == expected
    assert quality.top1 == sum(expected) / 44
    assert quality.fingerprint == pair[1].quality.fingerprint
    assert quality.dataset == "TensorDataset"


def test_multiply_accumulates_are_those_executed(pair):
    # 3x3 convolutions at 28 px: 1 -> 16, then per stage of one block two convolutions; then the classifier.
    convolutions = (
        28**2 * 9 * (16 + 2 * 16 * 16) + 14**2 * 9 * (16 * 32 + 32**2) + 7**2 * 9 * (32 * 64 + 64**2)
    )
    assert pair[0].subject.macs_per_image == convolutions + 64 * 10


def test_the_profiles_follow_from_their_readings_and_survive_json(pair):
    for profile in pair:
        assert differences(profile) == []
        assert differences(Profile.model_validate_json(profile.to_json())) == []


def test_the_callers_model_is_untouched():
    model = network().train()
    model.register_forward_hook(lambda *_: None)
    before, layout = copy.deepcopy(model.state_dict()), model.conv1.weight.stride()
    profile = audit(model, data=images(), plan=SHORT.model_copy(update={"precision": "bf16"}))
    assert isinstance(profile, Profile)
    assert profile.conditions.precision == "bf16"
    assert model.training
    assert model.conv1.weight.stride() == layout
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_network_beside_itself_gets_a_name_of_its_own():
    model = network()
    one, other = audit(model, model, data=images(), plan=SHORT)
    assert (one.subject.name, other.subject.name) == ("cifar_resnet8", "cifar_resnet8-2")
    assert one.subject.weights_sha256 == other.subject.weights_sha256
    assert one.quality == other.quality
    assert one.subject.macs_per_image == other.subject.macs_per_image


def test_energy_of_a_known_counter(ten_watts):
    plan = SHORT.model_copy(update={"meter": "replay", "idle_seconds": 0.1})
    profile = audit(network(), data=images(), plan=plan, places=["fra", "POL"])
    assert isinstance(profile, Profile)
    summary = profile.summary
    assert summary.joules_per_inference is not None
    assert summary.net_joules_per_inference is not None
    gross = summary.joules_per_inference.mean
    assert gross == pytest.approx(10 * summary.seconds_per_inference.mean, rel=0.1)
    assert profile.idle.before_watts == pytest.approx(10, rel=0.1)
    assert abs(summary.net_joules_per_inference.mean) < 0.2 * gross
    assert [carbon.place for carbon in profile.carbon] == ["FRA", "POL"]
    assert profile.carbon[0].grams_per_1000_inferences < profile.carbon[1].grams_per_1000_inferences
    assert (profile.method.estimator, profile.method.kind) == ("difference", "measured")
    assert profile.validity.status == "invalid"  # it is a replay
    assert differences(profile) == []


def test_the_estimate_says_so():
    profile = audit(network(), plan=SHORT.model_copy(update={"meter": "codecarbon"}), places=["FRA"])
    assert isinstance(profile, Profile)
    assert (profile.method.kind, profile.method.scope) == ("estimated", "machine")
    assert profile.summary.net_joules_per_inference is None
    assert profile.carbon[0].kind == "estimated"


def test_random_images_have_the_size_that_the_network_wants():
    profile = audit(network("cifar_resnet8", in_chans=3), plan=SHORT)
    assert isinstance(profile, Profile)
    assert profile.conditions.data == "random"
    assert profile.conditions.input_shape == (3, 32, 32)
    assert profile.quality is None
    assert profile.subject.macs_per_image is not None
    assert any("images are random" in reason for reason in profile.validity.reasons)


def test_greenadapts_own_data():
    data = greenadapt.open_data("fashion-mnist-2000", limit=64)
    profile = audit(network(), data=data, plan=SHORT)
    assert isinstance(profile, Profile)
    assert profile.quality is not None
    assert profile.quality.images == 64
    assert profile.quality.fingerprint == data.fingerprint
    assert profile.quality.dataset.startswith("fashion-mnist-2000")


class HalfTheWork(nn.Module):
    """Runs its second convolution only on images that are bright."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.body = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 10)

    def greenadapt_paths(self, images: Tensor) -> Tensor:
        bright = images.mean((1, 2, 3)) > 0
        return torch.stack([torch.ones_like(bright), bright], 1)

    def forward(self, images: Tensor) -> Tensor:
        kept, x = self.greenadapt_paths(images)[:, 1], self.stem(images)
        if kept.any():
            x = x.index_copy(0, kept.nonzero().flatten(), self.body(x[kept]))
        return self.head(x.mean((2, 3)))


def test_an_adaptive_network_is_counted_as_it_runs():
    torch.manual_seed(0)
    profile = audit(HalfTheWork(), data=images(count=40), plan=SHORT)
    assert isinstance(profile, Profile)
    bright = (torch.cat([x for x, _ in images(count=40)]).mean((1, 2, 3)) > 0).float().mean().item()
    assert 0 < bright < 1
    execution = profile.execution
    assert execution is not None
    assert (execution.blocks, execution.paths) == (2, 2)
    assert execution.path_shares["11"] == pytest.approx(bright)
    assert execution.blocks_kept_mean == pytest.approx(1 + bright)
    expected = 28**2 * 9 * 4 + bright * 28**2 * 9 * 16 + 40
    assert profile.subject.macs_per_image == pytest.approx(expected)
    assert profile.subject.recipe.base.source == "python"
    assert differences(profile) == []


def test_progress_never_goes_back():
    told: list[tuple[str, float]] = []
    audit(network(), data=images(), plan=SHORT, progress=lambda message, share: told.append((message, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1
    assert any("trials" in message for message, _ in told)


@pytest.mark.gpu
def test_a_real_network_on_a_board():
    plan = Plan.quick_look(device="cuda:0", meter="nvml", batch_size=32, precision="fp16")
    profile = audit(timm.create_model("resnet50"), plan=plan, places=["FRA"])
    assert isinstance(profile, Profile)
    assert (profile.method.kind, profile.method.scope) == ("measured", "gpu")
    assert profile.method.estimator == "slope at ticks"
    assert profile.summary.joules_per_inference is not None
    assert 1e-3 < profile.summary.joules_per_inference.mean < 10
    assert profile.idle.before_watts is not None
    assert differences(profile) == []

"""Settings as rivals: what a sweep asks for, what of it runs, and engines of another make beside it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from greenadapt import audit
from greenadapt.auditing.loading import Loader
from greenadapt.auditing.settings import MOST_RIVALS, checked_sweep, rivals
from greenadapt.auditing.workload import Workload
from greenadapt.comparison import compare
from greenadapt.errors import OptionError
from greenadapt.profile import Plan
from greenadapt.recompute import differences
from tests.small import SHORT, images, network


def names(sweep, networks=("net",), **more) -> list[str]:
    return [rival.name for rival in rivals(networks, Plan(), checked_sweep(sweep), **more)]


def test_every_combination_is_a_rival_and_the_first_values_are_the_base():
    sweep = checked_sweep({"batch": ["1", 8], "compile": ["off", True], "precision": "bf16"})
    found = rivals(["net"], Plan(), sweep)
    assert [rival.name for rival in found] == [
        "net@eager,b1",
        "net@eager,b8",
        "net@compile,b1",
        "net@compile,b8",
    ]
    assert [rival.is_base for rival in found] == [True, False, False, False]
    last = found[-1].plan
    assert (last.precision, last.compile, last.batch_size) == ("bf16", True, 8)
    assert last.trials == Plan().trials


def test_a_single_value_is_a_condition_and_no_part_of_a_name():
    assert names({"precision": ["bf16"]}) == ["net"]
    assert names({}) == ["net"]


def test_an_engine_is_given_other_batches_and_nothing_else():
    sweep = {"precision": ["fp32", "bf16"], "batch": [1, 8]}
    found = names(sweep, networks=("net", "engine"), engines=["engine"])
    assert found[4:] == ["engine@fp32,b1", "engine@fp32,b8"]


@pytest.mark.parametrize(
    ("sweep", "seen"),
    [
        ({"precison": ["fp32"]}, "Did you mean precision"),
        ({"threads": [1]}, "'threads' cannot be swept"),
        ({"precision": ["fp8"]}, "precision takes fp32, fp16, bf16"),
        ({"compile": ["maybe"]}, "compile takes off, on"),
        ({"batch": [0]}, "batch takes whole numbers from 1"),
        ({"batch": ["1.5"]}, "batch takes whole numbers from 1"),
        ({"batch": [True]}, "batch takes whole numbers from 1"),
        ({"batch": [8, "8"]}, "twice"),
        ({"batch": []}, "no value"),
    ],
)
def test_what_cannot_be_swept_is_an_error_that_names_what_can(sweep, seen):
    with pytest.raises(OptionError) as error:
        checked_sweep(sweep)
    assert seen in str(error.value)
    assert "batch (whole numbers from 1)" in error.value.todo


def test_a_sweep_is_bounded():
    with pytest.raises(OptionError, match=f"at most {MOST_RIVALS}"):
        names({"batch": range(1, MOST_RIVALS + 2)})
    assert len(names({"batch": range(1, MOST_RIVALS + 1)})) == MOST_RIVALS


@pytest.fixture(scope="module")
def swept():
    sweep = {"precision": ["fp32", "bf16"], "batch": [4, 8, 999]}
    return audit(network(), data=images(), plan=SHORT, sweep=sweep, names=["net"], roles={"net": "base"})


def test_a_sweep_gives_one_profile_per_combination_in_one_run(swept):
    assert [profile.subject.name for profile in swept] == [
        "net@fp32,b4",
        "net@fp32,b8",
        "net@bf16,b4",
        "net@bf16,b8",
    ]
    assert len({profile.run_id for profile in swept}) == 1
    assert [profile.subject.role for profile in swept] == ["base", "rival", "rival", "rival"]
    order = sorted((trial.order, n) for n, profile in enumerate(swept) for trial in profile.trials)
    assert [n for _, n in order[:8]] == [0, 1, 2, 3, 3, 2, 1, 0]
    for profile in swept:
        assert profile.plan.batch_size == profile.conditions.batch_size
        assert all(trial.inferences == trial.calls * profile.plan.batch_size for trial in profile.trials)
        assert differences(profile) == []


def test_accuracy_is_counted_once_per_precision(swept):
    fp32, fp32_too, bf16, bf16_too = swept
    assert fp32.quality == fp32_too.quality
    assert bf16.quality == bf16_too.quality
    assert fp32.quality.fingerprint == bf16.quality.fingerprint
    model = network().eval().to(torch.bfloat16)
    with torch.no_grad():
        hits = sum(int((model(x.bfloat16()).argmax(1) == y).sum()) for x, y in images())
    assert round(bf16.quality.top1 * bf16.quality.images) == pytest.approx(hits, abs=1)


def test_a_combination_that_cannot_run_is_left_out_and_named(swept):
    reasons = " ".join(swept[0].validity.reasons)
    assert "net@fp32,b999 was left out" in reasons
    assert "net@bf16,b999 was left out" in reasons
    assert "44 images; the batch size is 999" in reasons
    assert "left out" not in " ".join(swept[1].validity.reasons)


def test_the_base_combination_must_run():
    with pytest.raises(OptionError, match="does not run as bf16"):
        audit(Stubborn(), data=images(), plan=SHORT, sweep={"precision": ["bf16", "fp32"]})
    told: list[str] = []
    sweep = {"precision": ["fp32", "bf16"]}
    found = audit(
        Stubborn(), data=images(), plan=SHORT, sweep=sweep, progress=lambda message, _: told.append(message)
    )
    assert isinstance(found, list)
    assert len(found) == 1
    assert any(message.startswith("leaving out") for message in told)


class Stubborn(nn.Module):
    """Cannot be converted: it makes fp32 numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(28, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.float().mean((1, 2)))


def test_batches_of_all_sizes_go_round_in_the_same_images():
    workload = Workload(None, "cpu", most=8, seed=1)
    pools = [workload.pool((1, 28, 28), Plan(batch_size=size)) for size in (1, 8)]
    assert [len(pool) for pool in pools] == [64, 8]
    assert torch.equal(torch.cat(pools[0]), torch.cat(pools[1]))
    assert pools[0][0].untyped_storage().data_ptr() == pools[1][-1].untyped_storage().data_ptr()


def test_batches_give_every_image_once_in_order():
    workload = Workload(images(), "cpu", most=8)
    whole = torch.cat([x for x, _ in images()])
    for size in (1, 3, 10, 44, 50):
        found = list(workload.batches(size))
        assert torch.equal(torch.cat([x for x, _ in found]), whole)
        assert {len(x) for x, _ in found[:-1]} <= {size}
        assert len(found) == -(-44 // size)


def test_one_copy_serves_all_batches_of_a_precision():
    workload = Workload(images(), "cpu", most=8)
    loader = Loader({"net": network()}, workload, "cpu")
    sweep = checked_sweep({"precision": ["fp32", "bf16"], "batch": [4, 8]})
    loaded = [loader.load(rival) for rival in rivals(["net"], Plan(), sweep)]
    copies = [each.network for each in loaded]
    assert copies[0] is copies[1]
    assert copies[2] is copies[3]
    assert copies[0] is not copies[2]


@pytest.mark.slow
def test_every_batch_size_is_compiled_whatever_torchs_own_limit():
    from torch._dynamo import config
    from torch._dynamo.utils import counters

    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(784, 10)

        def forward(self, images: Tensor) -> Tensor:
            return self.head(images.flatten(1)).relu()

    before = counters["stats"]["unique_graphs"]
    sweep = {"compile": ["off", "on"], "batch": [2, 3, 4]}
    with config.patch(recompile_limit=1):
        found = audit(Tiny(), data=images(), plan=SHORT, sweep=sweep)
    assert [profile.conditions.compile for profile in found] == [False] * 3 + [True] * 3
    assert counters["stats"]["unique_graphs"] - before == 3
    assert found[0].quality == found[5].quality


class FixedEngine:
    """Runs batches of eight and nothing else, as an engine built for one shape does."""

    def __init__(self) -> None:
        self.network = network().eval()

    def __call__(self, images: Tensor) -> Tensor:
        if len(images) != 8:
            raise RuntimeError(f"built for 8 images, not {len(images)}")
        return self.network(images)


def test_an_engine_of_another_make_stands_in_the_same_run():
    ours, engine = audit(network(), FixedEngine(), data=images(), plan=SHORT, names=["net", "engine"])
    subject = engine.subject
    assert subject.weights == "unknown"
    assert (subject.parameters, subject.weights_sha256, subject.macs_per_image) == (None, None, None)
    assert subject.reference.startswith("engine:")
    assert engine.quality == ours.quality
    assert any("only called" in reason for reason in engine.validity.reasons)
    assert differences(engine) == []
    row = compare(ours, engine).rows[1]
    assert row.paired
    assert (row.parameters, row.flops_ratio) == (None, None)
    assert "unknown" in str(compare(ours, engine))


def test_an_engine_built_for_one_batch_is_left_out_of_the_others():
    found = audit(
        network(), FixedEngine(), data=images(), plan=SHORT, sweep={"batch": [8, 4]}, names=["a", "e"]
    )
    assert [profile.subject.name for profile in found] == ["a@b8", "a@b4", "e@b8"]
    assert any("e@b4 was left out" in reason for reason in found[2].validity.reasons)


def test_random_images_for_an_engine_have_a_size_that_is_known():
    with pytest.raises(OptionError, match="input_shape"):
        audit(FixedEngine(), plan=SHORT)
    engine = FixedEngine()
    engine.input_shape = (1, 28, 28)
    assert audit(engine, plan=SHORT).conditions.input_shape == (1, 28, 28)


def test_what_is_no_network_is_refused():
    with pytest.raises(OptionError, match="nothing that can be audited"):
        audit("resnet18", plan=SHORT)

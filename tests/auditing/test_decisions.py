"""What an adaptive network decides, gathered by a real audit and recomputed here another way."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import torch
from torch import nn

import greenadapt
from greenadapt import audit
from greenadapt.auditing.decisions import Decisions, block_names, class_names
from greenadapt.auditing.instruments import Instrument
from greenadapt.auditing.loading import Loader
from greenadapt.auditing.path_trials import LEAST_IMAGES, TIMED, Adaptive, seconds_left, time_paths
from greenadapt.auditing.settings import Rival
from greenadapt.auditing.workload import Workload
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Execution, Plan, Profile
from greenadapt.profile_files import parse_profile
from greenadapt.recompute import differences
from tests.adaptive import BLOCKS, THRESHOLDS, Bright, bright_images, bright_loader
from tests.small import SHORT, network

PLAN = SHORT.model_copy(update={"target_fraction": 1.0, "budget_seconds": 20.0})
"""Its budget is hardly used, so that time is left for the paths."""


@pytest.fixture(scope="module")
def profile() -> Profile:
    found = audit(Bright(), data=bright_loader(), plan=PLAN)
    assert isinstance(found, Profile)
    return found


@pytest.fixture(scope="module")
def execution(profile) -> Execution:
    assert profile.execution is not None
    return profile.execution


def expected() -> tuple[list[tuple[bool, ...]], list[int], list[bool]]:
    images, labels = bright_images()
    means = [round(float(image.mean())) for image in images]
    rows = [tuple(mean > threshold for threshold in THRESHOLDS) for mean in means]
    hits = [min(mean, 2) == label for mean, label in zip(means, labels.tolist(), strict=True)]
    return rows, labels.tolist(), hits


def digits(row) -> str:
    return "".join("1" if ran else "0" for ran in row)


def test_counts_and_shares_are_those_of_the_images(execution):
    rows, _, _ = expected()
    kept = [sum(row) for row in rows]
    assert (execution.images, execution.blocks) == (60, BLOCKS)
    assert execution.histogram == [kept.count(k) for k in range(BLOCKS + 1)]
    assert execution.blocks_kept_mean == pytest.approx(sum(kept) / 60)
    assert execution.block_shares == pytest.approx([sum(row[k] for row in rows) / 60 for k in range(BLOCKS)])


def test_classes_are_averaged_over_their_images(execution):
    rows, labels, hits = expected()
    assert [each.label for each in execution.classes] == [0, 1, 2]
    for each in execution.classes:
        of_it = [number for number, label in enumerate(labels) if label == each.label]
        assert each.images == len(of_it)
        assert each.blocks_kept_mean == pytest.approx(sum(sum(rows[n]) for n in of_it) / len(of_it))
        assert each.top1 == pytest.approx(sum(hits[n] for n in of_it) / len(of_it))


def test_paths_have_their_share_and_accuracy(execution):
    rows, _, hits = expected()
    counts = Counter(map(digits, rows))
    assert {each.path: each.images for each in execution.commonest} == counts
    assert sum(each.share for each in execution.commonest) == pytest.approx(1)
    assert sum(execution.path_shares.values()) == pytest.approx(1)
    for each in execution.commonest:
        right = [
            hit for row, hit in zip(rows, hits, strict=True) if "".join("01"[r] for r in row) == each.path
        ]
        assert each.correct == sum(right)
        assert each.top1 == pytest.approx(sum(right) / len(right))


def test_easy_and_hard_images_are_named_with_what_they_ran(execution):
    rows, labels, hits = expected()
    for images, kept in ((execution.easiest, 1), (execution.hardest, BLOCKS)):
        assert len({each.index for each in images}) == len(images) > 10
        assert images[0].blocks_kept == kept
        for each in images:
            assert each.blocks_kept == sum(rows[each.index])
            assert (each.label, each.correct) == (labels[each.index], hits[each.index])
    assert not {each.index for each in execution.easiest} & {each.index for each in execution.hardest}


def test_the_profile_checks_and_survives_its_file(profile):
    assert differences(profile) == []
    again = parse_profile(profile.to_json(), "P.json")
    assert again == profile
    assert differences(again) == []


def test_every_common_path_is_timed_without_a_meter_and_says_why_there_are_no_joules(execution):
    for each in execution.commonest:
        cost = each.cost
        assert cost is not None
        assert len(cost.trials) == 2
        assert cost.seconds_per_inference is not None
        assert cost.seconds_per_inference > 0
        assert (cost.joules_per_inference, cost.kind, cost.why_not) == (None, None, "No meter was wanted.")


def test_energy_of_a_path_is_the_counters(ten_watts):
    profile = audit(
        Bright(), data=bright_loader(), plan=PLAN.model_copy(update={"meter": "replay", "trial_seconds": 0.2})
    )
    assert isinstance(profile, Profile)
    assert profile.execution is not None
    for each in profile.execution.commonest:
        assert each.cost is not None
        assert each.cost.kind == "measured"
        assert each.cost.joules_per_inference == pytest.approx(10 * each.cost.seconds_per_inference, rel=0.2)
    assert differences(profile) == []


class Coded(Bright):
    """Takes any of sixteen paths, by one pixel."""

    def greenadapt_paths(self, images):
        code = (images[:, 0, 0, 0].abs() * 1e4).long()
        return torch.stack([(code >> bit) & 1 == 1 for bit in range(4)], 1)


class Halved(Bright):
    """Takes one of two paths, by one pixel."""

    def greenadapt_paths(self, images):
        return torch.stack([images[:, 0, 0, 0] > 0] * BLOCKS, 1)


@pytest.mark.parametrize("data", [bright_loader(), None], ids=["real", "random"])
def test_each_setting_of_a_sweep_times_the_paths_at_its_own_batch(data):
    model = Bright() if data is not None else Halved()
    swept = audit(model, data=data, plan=PLAN, sweep={"batch": [16, 4]})
    assert [each.conditions.batch_size for each in swept] == [16, 4]
    for each in swept:
        costs = [taken.cost for taken in each.execution.commonest if taken.cost is not None]
        trials = [trial for cost in costs for trial in cost.trials]
        assert all(trial.inferences == trial.calls * each.conditions.batch_size for trial in trials)
        assert trials
        assert differences(each) == []


class Watched(Bright):
    """Notes the paths of each batch."""

    def forward(self, images):
        self.seen.append(self.greenadapt_paths(images))
        return super().forward(images)


def adaptive(model: nn.Module, plan: Plan = PLAN, data=None) -> tuple[Adaptive, Workload]:
    workload = Workload(bright_loader() if data is None else data, "cpu", plan.batch_size)
    rival = Rival("bright", "bright", plan.model_copy(update={"compile": False}), True)
    loaded = Loader({"bright": model}, workload, "cpu").load(rival)
    decisions = Decisions()
    with torch.inference_mode():
        for images, _ in workload.batches(plan.batch_size):
            decisions.take(loaded.network.greenadapt_paths(images))
    object.__setattr__(loaded, "rival", Rival("bright", "bright", plan, True))
    return Adaptive(loaded, decisions, call_seconds=0.001), workload


def test_a_path_is_timed_on_whole_batches_of_its_own_images():
    network, workload = adaptive(Watched())
    network.loaded.network.seen.clear()
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=10)
    batches = network.loaded.network.seen
    assert {len(batch) for batch in batches} == {PLAN.batch_size}
    assert all(len(batch.unique(dim=0)) == 1 for batch in batches)
    timed = {digits(batch[0]) for batch in batches}
    assert timed == set(found)
    calls = sum(trial.calls for cost in found.values() for trial in cost.trials)
    assert calls + 2 * len(found) == len(batches)


def test_paths_keep_within_the_time_that_is_left():
    network, workload = adaptive(Bright())
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=0.0)
    assert all(cost.trials == [] and "announced" in str(cost.why_not) for cost in found.values())
    plan = Plan(trial_seconds=0.4, batch_size=8, meter="none", device="cpu")
    network, workload = adaptive(Bright(), plan)
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=1.0)
    assert sum(bool(cost.trials) for cost in found.values()) == 2
    assert [bool(cost.trials) for cost in found.values()] == [True, True, False, False]


def test_what_is_left_is_what_was_announced_less_what_is_spent():
    plan = Plan(idle_seconds=5, warmup_seconds=60, budget_seconds=1200)
    left = seconds_left(plan, 2, Instrument(None, "cpu"), spent=500)
    assert left == pytest.approx(2 * 5 + 2 * 61 + 1200 - 5 - 500)


def test_reasons_where_a_path_cannot_be_timed():
    few = bright_images(4 * LEAST_IMAGES - 1)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*few), batch_size=5)
    network, workload = adaptive(Bright(), data=data)
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=10)
    assert [str(cost.why_not) for cost in found.values() if not cost.trials] == [
        f"Only {LEAST_IMAGES - 1} images take it; at least {LEAST_IMAGES} are needed."
    ]
    network, workload = adaptive(Bright(), PLAN.model_copy(update={"compile": True}))
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=10)
    assert all("compiled" in str(cost.why_not) and not cost.trials for cost in found.values())


class Guess:
    """A meter of constant power times time."""

    info = MeterInfo("guess", "estimated", "machine")

    def read(self) -> float:
        return 28.0 * time.perf_counter()

    def close(self) -> None:
        """Nothing is open."""


def test_an_estimate_is_no_energy_of_a_path():
    network, workload = adaptive(Bright())
    found = time_paths(Instrument(Guess(), "cpu"), network, workload, seconds=10)
    assert all(cost.trials for cost in found.values())
    assert all(cost.joules_per_inference is None and cost.kind is None for cost in found.values())
    assert all("Estimated" in str(cost.why_not) for cost in found.values())


class InARow(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(list(zip(*bright_images(), strict=True)))


def test_images_that_come_only_in_a_row_are_not_asked_for_by_number():
    data = torch.utils.data.DataLoader(InARow(), batch_size=5)
    network, workload = adaptive(Bright(), data=data)
    assert workload.numbered([1]) is None
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=10)
    assert all("fetched again" in str(cost.why_not) for cost in found.values())


def test_images_come_by_number_as_they_came_in_the_pass():
    workload = Workload(bright_loader(), "cpu", 8)
    found = workload.numbered([3, 41, 8])
    assert found is not None
    assert torch.equal(found, bright_images()[0][[3, 41, 8]])


def test_random_images_have_decisions_without_labels():
    model = network("cifar_resnet8")
    wrapped = greenadapt.wrap(model, "blockdrop", keep=0.5)
    found = audit(wrapped, plan=SHORT)
    assert isinstance(found, Profile)
    run = found.execution
    assert run is not None
    assert run.images == SHORT.batch_size
    assert (run.classes, run.easiest, run.hardest) == ([], [], [])
    assert run.record is not None
    assert run.record.labels is None
    assert differences(found) == []


def test_blocks_have_the_names_that_the_model_gives_them():
    wrapped = greenadapt.wrap(network("cifar_resnet8"), "blockdrop", keep=0.5)
    described = [block.name for block in greenadapt.describe(wrapped).blocks if block.droppable]
    assert described
    assert block_names(wrapped, len(described)) == described
    assert block_names(wrapped, len(described) + 1) == []
    assert block_names(Bright(), BLOCKS) == []


def test_classes_have_the_names_that_the_data_give_them(tmp_path):
    from PIL import Image

    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (16, 16)).save(tmp_path / name / "a.png")
    folders = greenadapt.open_data(tmp_path, size=16)
    assert class_names(Workload(folders, "cpu", 2)) == {0: "cat", 1: "dog"}
    embedded = greenadapt.open_data("fashion-mnist-2000", limit=8)
    assert class_names(Workload(embedded, "cpu", 2))[7] == "Sneaker"
    assert class_names(Workload(bright_loader(), "cpu", 2)) == {}


def test_no_more_than_a_few_paths_are_timed():
    network, workload = adaptive(Coded())
    found = time_paths(Instrument(None, "cpu", "none"), network, workload, seconds=10)
    assert len(found) == TIMED < 10

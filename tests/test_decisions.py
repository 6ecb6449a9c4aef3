"""What follows from a record of decisions, and what `check` finds of it."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import numpy as np
import pytest

from greenadapt.errors import ProfileError
from greenadapt.profile import SCHEMA_VERSION, Execution, PathTrial, Profile
from greenadapt.profile_files import parse_profile
from greenadapt.recompute import differences
from greenadapt.statistics import execution_of, path_cost, unpack_hits, unpack_labels, unpack_table
from greenadapt.statistics.decisions import (
    MOST_CLASSES,
    MOST_RECORDED,
    SHOWN_IMAGES,
    most_recorded,
    pack_labels,
    pack_table,
)
from tests.factories import profile
from tests.test_recompute import audited


def decisions(images: int = 200, blocks: int = 6, classes: int = 5, seed: int = 0):
    random = np.random.default_rng(seed)
    table = random.random((images, blocks)) < np.linspace(0.9, 0.2, blocks)
    return table, random.integers(0, classes, images)


def adaptive(**changes: Any) -> Profile:
    """A profile of this schema with decisions and two timed paths."""
    plain = audited("AB")[1]
    assert plain.quality is not None
    table, labels = decisions(plain.quality.images)
    hits = np.array(unpack_hits(plain.quality.hits, plain.quality.images))
    size = plain.conditions.batch_size
    trial = PathTrial(seconds=0.5, calls=10, inferences=10 * size, joules=20.0)
    first = execution_of(table).commonest
    costs = {
        first[0].path: path_cost([trial, trial.model_copy(update={"joules": 22.0})]),
        first[1].path: path_cost([trial.model_copy(update={"joules": None})], "No reading."),
    }
    run = execution_of(table, labels, hits, block_names=[f"layer.{k}" for k in range(6)], costs=costs)
    return plain.model_copy(update={"execution": run.model_copy(update=changes)}).sealed()


def edited(whole: Profile, path: str, value: Any) -> Profile:
    tree = json.loads(whole.to_json())
    *parents, last = path.split(".")
    place = tree
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    last = int(last) if isinstance(place, list) else last
    place[last] = value(place[last]) if callable(value) else value
    return Profile.model_validate(tree).sealed()


def test_an_honest_profile_has_no_differences():
    whole = adaptive()
    assert differences(whole) == []
    assert differences(parse_profile(whole.to_json(), "P.json")) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("blocks_kept_mean", lambda value: value * 1.0001),
        ("paths", lambda value: value + 1),
        ("block_shares.2", lambda value: value + 0.01),
        ("histogram.3", lambda value: value + 1),
        ("classes_seen", 4),
        ("classes.1.images", lambda value: value + 1),
        ("classes.1.blocks_kept_mean", lambda value: value + 0.01),
        ("classes.1.top1", lambda value: value - 0.01),
        ("classes", lambda value: value[:-1]),
        ("commonest.0.images", lambda value: value + 1),
        ("commonest.0.share", lambda value: value + 0.01),
        ("commonest.0.correct", lambda value: value - 1),
        ("commonest.2.top1", 0.123),
        ("commonest.3.path", "010101"),
        ("commonest", lambda value: value[:-1]),
        ("easiest.0.index", lambda value: value + 1),
        ("easiest.0.correct", lambda value: not value),
        ("hardest.0.blocks_kept", 3),
        ("hardest.1.label", lambda value: (value + 1) % 5),
        ("hardest", []),
        ("block_names", ["one"]),
        ("images", 199),
        ("images", None),
        ("commonest.0.cost.seconds_per_inference", lambda value: value * 1.001),
        ("commonest.0.cost.joules_per_inference", lambda value: value * 0.9),
        ("commonest.0.cost.trials.0.joules", lambda value: value * 0.9),
        ("commonest.0.cost.trials.0.inferences", 3),
        ("commonest.0.cost.trials.1.joules", -1.0),
        ("commonest.0.cost.kind", None),
        ("commonest.1.cost.why_not", None),
        ("record.paths", lambda _: pack_table(decisions(200, seed=1)[0])),
        ("record.paths", lambda _: pack_table(decisions(199)[0])),
        ("record.paths", "not base64"),
        ("record.labels", lambda _: pack_labels(decisions(200, seed=1)[1])),
        ("record.labels", lambda value: value[:-8]),
    ],
)
def test_a_figure_that_does_not_follow_is_found(path, value):
    forged = edited(adaptive(), f"execution.{path}", value)
    assert any("execution" in line for line in differences(forged)), path


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("histogram.3", lambda value: value + 1),
        ("block_shares.2", lambda value: value + 0.01),
        ("blocks_kept_mean", lambda value: value * 1.01),
        ("commonest.0.top1", 0.123),
        ("commonest.0.share", 0.123),
        ("classes.1.blocks_kept_mean", lambda value: value + 0.01),
        ("classes.1.images", lambda value: value + 1),
    ],
)
def test_without_a_record_figures_must_fit_each_other(path, value):
    whole = adaptive(record=None)
    (missing,) = differences(whole)
    assert missing.startswith("execution.record says nothing")
    forged = edited(whole, f"execution.{path}", value)
    assert any("execution" in line for line in differences(forged) if line != missing), path


def test_an_estimated_audit_has_no_measured_path():
    whole = adaptive()
    method = whole.method.model_copy(update={"kind": "estimated", "meter": "codecarbon"})
    forged = whole.model_copy(update={"method": method}).sealed()
    assert any("cost.kind" in line for line in differences(forged))


def test_older_profiles_read_and_keep_their_identity():
    old = {"blocks": 3, "blocks_kept_mean": 2.25, "paths": 2, "path_shares": {"110": 0.75, "111": 0.25}}
    for version in ("1.0", "1.1"):
        whole = profile() if version == "1.0" else audited()[1]
        tree = json.loads(whole.to_json()) | {"schema_version": version, "execution": old}
        first = Profile.model_validate(tree)
        text = first.sealed().to_json()
        assert "histogram" not in text
        read = parse_profile(text, "old.json")
        assert differences(read) == []
        assert read.execution == Execution(**old)  # type: ignore[arg-type]
        assert json.loads(read.to_json()) == json.loads(text)
    assert SCHEMA_VERSION not in ("1.0", "1.1")


def test_the_record_comes_back_as_it_was():
    table, labels = decisions(333, 7, 900)
    assert (unpack_table(pack_table(table), 333, 7) == table).all()
    assert (unpack_labels(pack_labels(labels), 333) == labels).all()


@pytest.mark.parametrize(
    "text", ["", "%", base64.b64encode(b"no stream").decode(), pack_table(decisions(10)[0])[:-4]]
)
def test_a_record_that_is_cut_is_refused(text):
    with pytest.raises(ProfileError):
        unpack_table(text, 10, 6)


def test_a_record_that_unpacks_to_gigabytes_is_refused_without_unpacking_them():
    packer = zlib.compressobj(9)
    stream = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(64)), packer.flush()])
    with pytest.raises(ProfileError, match="cannot be read") as error:
        unpack_table(base64.b64encode(stream).decode(), 10, 6)
    assert "more than 8 bytes" in error.value.seen


def test_images_that_tie_are_spread_over_the_data():
    table = np.zeros((400, 2), bool)
    table[::2] = True
    labels = np.repeat(np.arange(4), 100)
    run = execution_of(table, labels, np.ones(400, bool))
    for images in (run.easiest, run.hardest):
        assert len(images) == SHOWN_IMAGES
        assert {each.label for each in images} == {0, 1, 2, 3}


def test_one_path_for_all_has_no_easy_and_no_hard_images():
    run = execution_of(np.ones((5, 3), bool), np.zeros(5, int), np.ones(5, bool))
    assert (run.paths, run.easiest, run.hardest) == (1, [], [])
    assert [each.blocks_kept_mean for each in run.classes] == [3.0]


def test_a_profile_of_fifty_thousand_images_and_a_thousand_classes_stays_small():
    random = np.random.default_rng(0)
    labels = random.integers(0, 1500, 50_000)
    table = random.random((50_000, 16)) < 0.5
    run = execution_of(table, labels, random.random(50_000) < 0.8)
    assert run.record is not None
    assert len(run.model_dump_json()) < 500_000
    assert len(run.classes) == MOST_CLASSES < run.classes_seen == 1500
    assert len(run.commonest) == len(run.path_shares) == 32
    means = [each.blocks_kept_mean for each in run.classes]
    of_all = np.bincount(labels, table.sum(1)) / np.bincount(labels)
    assert max(means) == pytest.approx(of_all.max())
    assert min(means) == pytest.approx(of_all.min())


def test_a_record_too_large_for_a_profile_is_left_out():
    table = np.random.default_rng(0).random((60_000, 60)) < 0.5
    assert len(pack_table(table)) > MOST_RECORDED
    assert execution_of(table).record is None
    assert most_recorded(60_000, 60) > MOST_RECORDED > most_recorded(50_000, 60)


@pytest.mark.parametrize(("images", "blocks"), [(1, 1), (2000, 9), (30_000, 60)])
def test_no_record_is_larger_than_was_said(images, blocks):
    table = np.random.default_rng(0).random((images, blocks)) < 0.5
    assert 0.5 * most_recorded(images, blocks) - 100 < len(pack_table(table)) <= most_recorded(images, blocks)


def test_joules_of_a_path_are_unknown_if_one_trial_lost_them():
    trial = PathTrial(seconds=1.0, calls=2, inferences=8, joules=4.0)
    assert path_cost([trial, trial]).joules_per_inference == 0.5
    lost = path_cost([trial, trial.model_copy(update={"joules": None})], "It reset.")
    assert (lost.seconds_per_inference, lost.joules_per_inference) == (0.125, None)
    assert (lost.kind, lost.why_not) == (None, "It reset.")

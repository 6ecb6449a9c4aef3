"""Every figure that is derived is caught when it is changed, even by someone who seals the profile again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from greenadapt.carbon import carbon_at
from greenadapt.profile import Execution, Profile
from greenadapt.recompute import differences
from tests.factories import ESTIMATED, profile


def whole() -> Profile:
    plain = profile(blocks=4)
    gross = plain.summary.joules_per_inference
    assert gross is not None
    return plain.model_copy(
        update={
            "execution": Execution(
                blocks=3, blocks_kept_mean=2.25, paths=2, path_shares={"110": 0.75, "111": 0.25}
            ),
            "carbon": carbon_at(gross.mean, "measured", ["FRA", "USA"]),
        }
    ).sealed()


def changed(path: str, value: Any) -> Profile:
    tree = json.loads(whole().to_json())
    *parents, last = path.split(".")
    place = tree
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    place[last] = value(place[last]) if callable(value) else value
    return Profile.model_validate(tree)


def test_an_honest_profile_has_no_differences():
    assert differences(whole()) == []
    assert differences(profile(blocks=4, method=ESTIMATED)) == []
    assert (
        differences(profile(blocks=4, watts=None, method=ESTIMATED.model_copy(update={"kind": None}))) == []
    )


@pytest.mark.parametrize(
    "path",
    [
        *(
            f"summary.{part}.{end}"
            for part in (
                "seconds_per_inference",
                "seconds_per_batch",
                "joules_per_inference",
                "net_joules_per_inference",
            )
            for end in ("mean", "low", "high")
        ),
        "summary.inferences_per_second",
        "quality.top1",
        "quality.top1_low",
        "quality.top1_high",
        "carbon.0.grams_per_1000_inferences",
        "carbon.1.grams_per_1000_inferences",
        "execution.blocks_kept_mean",
    ],
)
def test_a_changed_digit_is_found_and_named(path):
    forged = changed(path, lambda value: value * 1.0001).sealed()
    lines = differences(forged)
    assert len(lines) == 1
    assert path.rpartition(".")[2] in lines[0]
    assert " says " in lines[0]


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("trials.2.joules", lambda value: value * 1.01, "summary.joules_per_inference.mean"),
        ("trials.2.seconds", lambda value: value * 1.01, "summary.seconds_per_inference.mean"),
        ("trials.2.inferences", 7, "trials.2.inferences says 7"),
        ("trials.0.discarded", False, "trials.0.discarded says False"),
        ("trials", lambda value: value[:-1], "number of counted trials says 3"),
        ("trials", lambda value: value[:2], "fewer than two"),
        ("idle.before_watts", 40.0, "summary.net_joules_per_inference.mean"),
        ("summary.joules_per_inference", None, "says nothing"),
        ("summary.joules_per_inference.trials", 9, "trials says 9"),
        ("quality.hits", lambda value: "0" + value[1:], "quality.top1 says"),
        ("quality.hits", lambda value: value[:-1], "hexadecimal digits"),
        ("quality.hits", "not hex", "hexadecimal digits"),
        ("carbon.0.grams_per_kwh", 1.0, "carbon.FRA.grams_per_1000_inferences"),
        ("carbon.0.kind", "estimated", "carbon.FRA.kind"),
        ("execution.path_shares.110", 0.5, "path_shares"),
        ("execution.path_shares", {"11": 1.0}, "no path of 3 blocks"),
        ("execution.paths", 1, "at least 2"),
        ("method.kind", None, "method.kind is missing"),
        ("conditions.batch_size", 33, "conditions.batch_size says 33"),
    ],
)
def test_what_does_not_follow_is_found(path, value, line):
    assert any(line in found for found in differences(changed(path, value).sealed()))


def test_any_change_breaks_the_identity():
    lines = differences(changed("created", "2020-01-01T00:00:00Z"))
    assert len(lines) == 1
    assert lines[0].startswith("profile_id says")

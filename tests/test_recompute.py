"""Every figure that is derived is caught when it is changed, even by someone who seals the profile again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from greenadapt.carbon import CarbonInputs
from greenadapt.errors import ProfileError
from greenadapt.profile import SCHEMA_VERSION, Embodied, Execution, Plan, Profile
from greenadapt.profile_files import parse_profile, read_profile
from greenadapt.recompute import differences
from greenadapt.statistics import summarize
from tests.bench.audits import BATCH, Scenario, one_audit
from tests.factories import ESTIMATED, profile

CARBON = CarbonInputs(("FRA", "USA"), pue=1.2, embodied=Embodied(total_grams=150_000, lifetime_years=4))
PUBLISHED = sorted((Path(__file__).parents[1] / "profiles").glob("*--*.json"))


def whole() -> Profile:
    plain = profile(blocks=4)
    gross = plain.summary.joules_per_inference
    assert gross is not None
    return plain.model_copy(
        update={
            "execution": Execution(
                blocks=3, blocks_kept_mean=2.25, paths=2, path_shares={"110": 0.75, "111": 0.25}
            ),
            "carbon": CARBON.figures(gross.mean, plain.summary.seconds_per_inference.mean, "measured"),
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
        "carbon.0.facility_grams_per_1000_inferences",
        "carbon.0.embodied_grams_per_1000_inferences",
        "carbon.1.sci_grams_per_1000_inferences",
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
        ("carbon.0.pue", 1.0, "carbon.FRA.facility_grams_per_1000_inferences"),
        ("carbon.0.embodied.share", 0.5, "carbon.FRA.embodied_grams_per_1000_inferences"),
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


def audited(names: str = "AB", noise: float = 0.02, plan: Plan | None = None) -> list[Profile]:
    """Profiles of one run whose trials are those of a simulated audit of both stages."""
    plan = plan or Plan(seed=7)
    run = one_audit(Scenario(noise=noise), (0.9,) * (len(names) - 1), plan, seed=7)
    assert run.stages is not None
    stages = run.stages.model_copy(
        update={
            "networks": list(names),
            "worst": names[int(run.stages.worst or 0)],
            "reason": run.stages.reason.replace(
                f"of {run.stages.worst}", f"of {names[int(run.stages.worst or 0)]}"
            ),
        }
    )
    made = []
    for name, trials in zip(names, run.trials.values(), strict=True):
        plain = profile(name)
        update = {
            "schema_version": SCHEMA_VERSION,
            "plan": plan,
            "trials": trials,
            "stages": stages,
            "summary": summarize(trials, plain.idle, BATCH),
        }
        made.append(plain.model_copy(update=update).sealed())
    return made


def edited(whole: Profile, path: str, value: Any) -> Profile:
    tree = json.loads(whole.to_json())
    *parents, last = path.split(".")
    place = tree
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    place[last] = value(place[last]) if callable(value) else value
    return Profile.model_validate(tree).sealed()


@pytest.mark.parametrize("names", ["A", "AB", "ABC"])
def test_both_stages_of_an_honest_run_follow_from_its_trials(names):
    run = audited(names)
    assert run[0].stages is not None
    assert run[0].stages.blocks > run[0].stages.pilot_blocks
    for each in run:
        assert differences(each) == []
        assert differences(each, run) == []


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("stages.needed_blocks", lambda value: value + 1, "stages.needed_blocks says"),
        ("stages.blocks", lambda value: value - 1, "stages.blocks says"),
        ("stages.blocks", lambda value: value - 1, "number of counted trials says"),
        ("stages.reason", "It looked narrow enough.", "stages.reason says"),
        ("stages.pilot_blocks", 4, "stages.pilot_blocks says 4"),
        ("plan.target_fraction", 0.02, "stages.needed_blocks says"),
        ("trials.14.stage", 1, "trials.14.stage says 1"),
        ("trials.3.stage", 2, "trials.3.stage says 2"),
        ("trials", lambda value: value[:-2], "number of counted trials says"),
    ],
)
def test_a_changed_decision_is_found_in_one_profile(path, value, line):
    forged = edited(audited()[1], path, value)
    assert any(line in found for found in differences(forged))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("stages.pilot_fraction", lambda value: value * 1.000001),
        ("stages.affordable_blocks", lambda value: value + 1),
        ("stages.quantity", "seconds"),
        ("stages.worst", "A"),
    ],
)
def test_what_the_pilot_of_the_whole_run_gives_is_checked_where_the_run_is_at_hand(path, value):
    run = audited()
    forged = edited(run[1], path, value)
    assert any(path in found for found in differences(forged, run))


def test_profiles_of_another_run_are_no_help():
    run = audited()
    strangers = [each.model_copy(update={"run_id": "another"}) for each in run]
    forged = edited(run[1], "stages.pilot_fraction", lambda value: value * 1.000001)
    assert differences(forged, strangers) == []
    assert differences(forged, run)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.name.partition("--")[0])
def test_published_profiles_of_the_first_schema_still_check(path):
    old = read_profile(path)
    assert old.schema_version == "1.0" != SCHEMA_VERSION
    assert differences(old) == []
    assert json.loads(old.to_json()) == json.loads(path.read_text(encoding="utf-8"))


def test_an_old_profile_that_was_changed_is_found():
    text = PUBLISHED[0].read_text(encoding="utf-8").replace('"seed": 0', '"seed": 1')
    lines = differences(parse_profile(text, "old"))
    assert len(lines) == 1
    assert lines[0].startswith("profile_id says")


def test_an_old_profile_with_something_added_is_another_profile_and_survives_its_file():
    old = read_profile(PUBLISHED[0])
    more = old.model_copy(update={"carbon": CARBON.figures(1.0, 0.1, "measured")}).sealed()
    assert more.profile_id != old.profile_id
    again = parse_profile(more.to_json(), "again")
    assert again.body_sha256() == again.profile_id == more.profile_id


def test_a_new_profile_survives_its_file():
    made = audited()[1]
    again = parse_profile(made.to_json(), "new")
    assert again == made
    assert again.body_sha256() == made.profile_id


def test_a_newer_schema_is_refused_by_name():
    text = audited()[0].to_json().replace(f'"{SCHEMA_VERSION}"', '"1.10"')
    with pytest.raises(ProfileError) as error:
        parse_profile(text, "P.json")
    assert f"schema 1.10; this greenadapt reads up to {SCHEMA_VERSION}" in error.value.seen

"""A profile that contradicts itself is found, even where every derived figure was made to fit again."""

from __future__ import annotations

from typing import Any

import pytest

from greenadapt.auditing import doubts
from greenadapt.auditing import validity as judged
from greenadapt.carbon import again, grid_of
from greenadapt.profile import (
    SCHEMA_VERSION,
    Agreement,
    BoardFacts,
    Carbon,
    Idle,
    Plan,
    Profile,
    Trial,
    Validity,
)
from greenadapt.recompute import contradictions, differences
from greenadapt.statistics import summarize
from tests.bench.audits import BATCH
from tests.factories import ESTIMATED, MEASURED, profile
from tests.test_recompute import audited


def fitted(whole: Profile, **changes: Any) -> Profile:
    """The profile with changes, everything derived from its trials anew, and sealed."""
    made = whole.model_copy(update=changes)
    summary = summarize(made.trials, made.idle, BATCH, idle_doubt=made.schema_version != "1.0")
    assert summary.joules_per_inference is not None
    figures = summary.joules_per_inference.mean, summary.seconds_per_inference.mean
    carbon = [again(each, *figures) for each in made.carbon]
    return made.model_copy(update={"summary": summary, "carbon": carbon}).sealed()


def found(whole: Profile, line: str) -> bool:
    return any(each.startswith(line) for each in differences(whole))


def with_trials(whole: Profile, number: int, **changes: Any) -> Profile:
    trials = [
        each.model_copy(update=changes) if place == number else each
        for place, each in enumerate(whole.trials)
    ]
    return fitted(whole, trials=trials)


@pytest.fixture(scope="module")
def honest() -> Profile:
    made = audited()[1]
    assert differences(fitted(made)) == []
    return made


def carbon(**changes: Any) -> Carbon:
    plain = {
        "place": "FRA",
        "grams_per_kwh": 56.0,
        "source": "a table",
        "year": 2023,
        "grams_per_1000_inferences": 0.0,
        "kind": "measured",
    }
    return Carbon(**(plain | changes))


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ([carbon(pue=0.1)], "carbon.FRA.pue says 0.1; it must be at least 1"),
        ([carbon(grams_per_kwh=-56.0)], "carbon.FRA.grams_per_kwh says -56.0; it must be above 0"),
        ([carbon(grams_per_kwh=0.0)], "carbon.FRA.grams_per_kwh says 0.0"),
        ([carbon(grams_per_kwh=0.0, place="given")], "carbon.given.grams_per_kwh says 0.0"),
        ([carbon(), carbon(grams_per_kwh=1.0)], "carbon.FRA says 2 entries; it must be one entry per place"),
    ],
)
def test_carbon_of_no_grid_or_building(honest, entries, line):
    assert found(fitted(honest, carbon=entries), line)


def test_a_country_whose_table_says_nothing_may_say_so(honest):
    assert grid_of("CAF").grams_per_kwh == 0
    entries = [carbon(), carbon(place="CAF", grams_per_kwh=0.0), carbon(place="POL", pue=1.0)]
    assert differences(fitted(honest, carbon=entries)) == []


@pytest.mark.parametrize("joules", [0.0, -5.0])
def test_joules_that_are_no_energy(honest, joules):
    assert found(with_trials(honest, 4, joules=joules), f"trials.4.joules says {joules}; it must be above 0")
    old = profile(blocks=4)
    assert found(with_trials(old, 2, joules=joules), "trials.2.joules")


def test_an_order_that_no_run_has(honest):
    swapped = with_trials(honest, 5, order=honest.trials[5].order + 1)
    assert found(swapped, f"trials.5.order says {honest.trials[5].order + 1}; it must be")
    assert found(with_trials(honest, 5, order=0), "trials.5.order says 0; it must be above")
    assert found(with_trials(profile(blocks=4), 2, order=1), "trials.2.order says 1; it must be above 1")


def test_every_trial_has_its_place_in_the_palindrome():
    for names in ("A", "AB", "ABC"):
        for each in audited(names):
            assert differences(each) == []
            strange = [trial.model_copy(update={"order": trial.order + 1}) for trial in each.trials]
            assert found(fitted(each, trials=strange), "trials.0.order says")


def test_blocks_of_other_than_two_trials(honest):
    last = honest.trials[-1].block
    moved = [
        each.model_copy(update={"block": last - 1}) if each.block == last else each for each in honest.trials
    ]
    lines = differences(fitted(honest, trials=moved))
    assert f"trials of block {last - 1} says 4; it must be 2" in lines
    assert f"trials of block {last} says 0; it must be 2" in lines
    doubled = [
        each.model_copy(update={"block": each.block - each.block // 4}) for each in profile(blocks=4).trials
    ]
    assert found(fitted(profile(blocks=4), trials=doubled), "trials of block 3 says 2; it must be 1")


def test_stages_belong_to_the_newer_schema(honest):
    plan = honest.plan.model_copy(update={"trials": 2 * honest.stages.blocks})
    missing = f"stages says nothing; it must be there in schema {SCHEMA_VERSION}"
    assert found(fitted(honest, stages=None, plan=plan), missing)
    assert found(fitted(honest, schema_version="1.0"), "schema_version says 1.0")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"trial_seconds": 50.0}, "trials.0.seconds says 5.0; it must be at least the 50"),
        ({"trial_seconds": 50.0}, "stages.trial_seconds says 50.0; it must be the plan's 5"),
        ({"trial_seconds": 1.0}, "stages.trial_seconds says 1.0; it must be at least the plan's 5"),
        ({"affordable_blocks": 9999}, "stages.affordable_blocks says 9999; it must be from"),
        ({"worst": "nobody"}, "stages.worst says nobody; it must be one of B"),
        ({"networks": ["A", "C"]}, "stages.networks says A, C; it must be distinct names, B among them"),
    ],
)
def test_stages_that_the_trials_and_the_plan_contradict(honest, changes, line):
    assert found(fitted(honest, stages=honest.stages.model_copy(update=changes)), line)


def test_a_trial_cannot_begin_before_the_one_before_it_ended(honest):
    longer = with_trials(honest, 3, seconds=500.0)
    assert found(longer, "trials.4.started_seconds")


def test_a_busy_machine_s_moment_is_no_contradiction(honest):
    assert differences(with_trials(honest, 20, seconds=honest.trials[20].seconds - 0.01)) == []


def test_a_meter_s_kind_is_its_own(honest):
    forged = fitted(honest, method=ESTIMATED.model_copy(update={"kind": "measured"}))
    assert found(forged, "method.kind says measured; it must be estimated, as the meter codecarbon")
    timid = fitted(honest, method=MEASURED.model_copy(update={"kind": "estimated"}))
    assert found(timid, "method.kind says estimated; it must be measured")
    own = fitted(honest, method=MEASURED.model_copy(update={"meter": "shunt", "systematic_fraction": None}))
    assert differences(own) == []


@pytest.mark.parametrize("fraction", [0.0, None])
def test_a_board_s_sensor_is_not_without_error(honest, fraction):
    forged = fitted(honest, method=MEASURED.model_copy(update={"systematic_fraction": fraction}))
    assert found(forged, "method.systematic_fraction says")


@pytest.mark.parametrize(
    "facts",
    [
        {"other_processes": 3},
        {"throttled_seconds": {"thermal": 300.0}},
        {"clock_reasons": {"HwSlowdown": 2}},
        {"clock_drift_fraction": -0.02},
        {"temperature_motion_celsius": 3.0},
        {"power_limits_watts": [700.0, 500.0]},
        {"counter_resets": 2},
    ],
)
def test_valid_beside_a_disturbed_board(honest, facts):
    boards = [BoardFacts(uuid_sha256="0" * 64, looks=9, seconds=300.0, **facts)]
    forged = fitted(honest, validity=Validity(status="valid", boards=boards))
    assert found(
        forged, f"validity.status says valid; it must be suspect: validity.boards.0.{next(iter(facts))}"
    )
    for status in ("suspect", "invalid"):
        assert differences(fitted(honest, validity=Validity(status=status, boards=boards))) == []


def test_a_calm_board_is_valid(honest):
    calm = BoardFacts(
        uuid_sha256="0" * 64,
        looks=9,
        seconds=300.0,
        other_processes=0,
        throttled_seconds={"power": 20.0, "thermal": 0.0},
        clock_reasons={"SwPowerCap": 4},
        clock_drift_fraction=0.009,
        temperature_motion_celsius=-2.0,
        power_limits_watts=[700.0],
        counter_resets=0,
    )
    assert differences(fitted(honest, validity=Validity(status="valid", boards=[calm]))) == []


def test_valid_beside_figures_that_are_not(honest):
    apart = Validity(status="valid", crosscheck=Agreement(relative_difference=0.4, doubt_fraction=0.1))
    assert found(
        fitted(honest, validity=apart), "validity.status says valid; it must be suspect: validity.cr"
    )
    picked = [
        each.model_copy(update={"joules": None}) if each.stage == 2 and each.order % 3 else each
        for each in honest.trials
    ]
    assert any("have no joules" in line for line in differences(fitted(honest, trials=picked)))
    slow = [
        each.model_copy(update={"calls": each.calls // 2, "inferences": each.inferences // 2})
        if each.block % 2
        else each
        for each in honest.trials
    ]
    assert any("scatters by" in line for line in differences(fitted(honest, trials=slow)))


def test_the_bounds_are_those_of_the_audit():
    ours = contradictions.CLOCK_DRIFT, contradictions.TEMPERATURE_CELSIUS
    assert ours == (doubts.CLOCK_DRIFT, doubts.TEMPERATURE_CELSIUS)
    assert (contradictions.SCATTER, contradictions.AGREEMENT) == (judged._SCATTER, judged._AGREEMENT)


def test_net_joules_of_the_first_schema_are_recomputed_as_they_were():
    idle = Idle(before_watts=8.0, after_watts=12.0)
    for whole in (profile(blocks=4), audited()[0]):
        made = fitted(whole, idle=idle)
        assert differences(made) == []
        other = summarize(made.trials, idle, BATCH, idle_doubt=made.schema_version == "1.0")
        assert made.summary != other
        swapped = made.model_copy(update={"summary": other}).sealed()
        assert found(swapped, "summary.net_joules_per_inference")


def test_a_run_of_seconds_only_has_nothing_to_contradict():
    plan = Plan(seed=3)
    for each in audited("AB", plan=plan):
        bare: list[Trial] = [trial.model_copy(update={"joules": None}) for trial in each.trials]
        assert list(contradictions.self_contradictions(each.model_copy(update={"trials": bare}))) == []

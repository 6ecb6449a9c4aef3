from __future__ import annotations

import dataclasses

import pytest

from greenadapt.auditing.validity import judge
from greenadapt.boards import MIG_NOTE, BoardReport
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Agreement, Plan, Trial

ONE, OTHER = "GPU-11111111-0000-4000-8000-000000000000", "GPU-22222222-0000-4000-8000-000000000000"
QUIET = BoardReport(ONE, looks=100, seconds=50.0, other_processes=0, power_limits=(300.0,), counter_resets=0)


def trials(*seconds: float) -> list[Trial]:
    return [
        Trial(
            block=block,
            order=block,
            started_seconds=0,
            seconds=each,
            calls=1,
            inferences=1,
            joules=None,
            discarded=block == 0,
        )
        for block, each in enumerate([99.0, *seconds])
    ]


def verdict(**changes):
    settings = {
        "plan": Plan(),
        "trials": trials(1.0, 1.01, 0.99),
        "info": MeterInfo("nvml", "measured", "gpu"),
        "failures": [],
        "others_cores": None,
        "weights": "pretrained",
        "data": "real",
    }
    return judge(**(settings | changes))


def test_a_quiet_run_is_valid():
    assert verdict() == verdict(others_cores=0.0)
    assert verdict().status == "valid"
    assert verdict().reasons == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reports": [dataclasses.replace(QUIET, other_processes=2, other_looks=1)]}, "2 other processes"),
        ({"reports": [dataclasses.replace(QUIET, violations={"thermal": 0.5})]}, "throttled for 0.500 s"),
        ({"reports": [dataclasses.replace(QUIET, reasons={"HwSlowdown": 3})]}, "HwSlowdown"),
        ({"reports": [dataclasses.replace(QUIET, power_limits=(300.0, 250.0))]}, "250"),
        ({"trials": trials(1.0, 2.0, 1.5)}, "scatters"),
        ({"others_cores": 1e6}, "Other programs"),
        ({"failures": ["The counter went backwards."]}, "backwards"),
    ],
)
def test_what_disturbs_a_run_makes_it_suspect(changes, reason):
    found = verdict(**changes)
    assert found.status == "suspect"
    assert any(reason in line for line in found.reasons)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"plan": Plan.quick_look()}, "quick"),
        ({"weights": "random"}, "weights are random"),
        ({"data": "random"}, "images are random"),
    ],
)
def test_remarks_do_not_make_it_suspect(changes, reason):
    found = verdict(**changes)
    assert found.status == "valid"
    assert any(reason in line for line in found.reasons)


def test_a_replay_is_never_a_measurement():
    found = verdict(info=MeterInfo("replay", "measured", "gpu"))
    assert found.status == "invalid"


def with_energy(*joules: float | None) -> list[Trial]:
    counted = trials(*[1.0] * len(joules))[1:]
    return [trial.model_copy(update={"joules": each}) for trial, each in zip(counted, joules, strict=True)]


def test_a_watched_board_that_was_quiet_is_valid_and_recorded():
    found = verdict(reports=[QUIET])
    assert (found.status, found.reasons) == ("valid", [])
    assert [facts.looks for facts in found.boards] == [100]
    assert ONE not in found.model_dump_json()


def test_of_several_boards_each_doubt_names_its_own():
    found = verdict(reports=[QUIET, dataclasses.replace(QUIET, uuid=OTHER, violations={"thermal": 0.5})])
    assert found.reasons == ["GPU-22222222: The board was throttled for 0.500 s (thermal)."]
    assert len(found.boards) == 2


@pytest.mark.parametrize(
    ("difference", "slack", "status"),
    [
        (0.049, None, "valid"),
        (-0.051, None, "suspect"),
        (0.08, 0.02, "suspect"),
        (0.08, 0.2, "valid"),
        (None, None, "valid"),
    ],
)
def test_codecarbon_five_per_cent_off_is_a_doubt_where_it_can_be_told(difference, slack, status):
    agreement = Agreement(relative_difference=difference, doubt_fraction=slack)
    assert verdict(agreement=agreement).status == status


@pytest.mark.parametrize(
    ("board", "metered", "worked_on", "status"),
    [
        (ONE, [], [ONE], "valid"),
        (ONE, [], [OTHER], "invalid"),
        (ONE, [], [ONE, OTHER], "invalid"),
        (None, [ONE, OTHER], [OTHER], "suspect"),
        (None, [ONE, OTHER], [ONE, OTHER], "valid"),
        (None, [], [OTHER], "valid"),
        (ONE, [], [], "suspect"),
        (ONE, [], None, "valid"),
    ],
)
def test_another_boards_joules_are_no_measurement(board, metered, worked_on, status):
    info = MeterInfo("nvml", "measured", "gpu", board=board)
    assert verdict(info=info, metered=metered, worked_on=worked_on).status == status


def test_the_joules_of_all_slices_have_to_be_called_so():
    sliced = dataclasses.replace(QUIET, mig=True)
    labelled = MeterInfo("nvml", "measured", "gpu", note=f"sum of 2 boards; {MIG_NOTE}", board=ONE)
    assert verdict(reports=[sliced]).status == "invalid"
    found = verdict(reports=[sliced], info=labelled)
    assert found.status == "valid"
    assert "all of them" in found.reasons[0]
    assert verdict(reports=[sliced], info=MeterInfo("codecarbon", "estimated", "machine")).status == "valid"


@pytest.mark.parametrize(
    ("joules", "status"), [((1.0, 1.0, None), "suspect"), ((1.0, None, None), "invalid")]
)
def test_a_reset_that_leaves_few_trials_is_the_end(joules, status):
    found = verdict(reports=[dataclasses.replace(QUIET, counter_resets=1)], trials=with_energy(*joules))
    assert found.status == status


def test_what_nvml_hides_is_a_remark():
    found = verdict(reports=[dataclasses.replace(QUIET, not_told=("its clock",), clock_drift=None)])
    assert (found.status, found.reasons) == ("valid", ["NVML does not tell of this board: its clock."])

from __future__ import annotations

import pytest

from greenadapt.auditing.validity import judge
from greenadapt.boards import BoardState
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Plan, Trial


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
        "before": BoardState(0, 1.0, False, 300.0),
        "after": BoardState(0, 1.0, False, 300.0),
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
        ({"after": BoardState(2, 1.0, False, 300.0)}, "2 other processes"),
        ({"after": BoardState(0, 1.5, False, 300.0)}, "throttled the board for 0.500 s"),
        ({"after": BoardState(0, 1.0, True, 300.0)}, "slowed down"),
        ({"after": BoardState(0, 1.0, False, 250.0)}, "from 300.0 W to 250.0 W"),
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

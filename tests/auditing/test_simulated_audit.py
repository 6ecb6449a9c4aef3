"""Whole audits with a board's joules: the simulator's, whose true energy is known."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import ClassVar

import pytest
from torch import Tensor, nn

import greenadapt
from greenadapt import Plan
from tests.simulator import Simulator, why_not

SHORT = {
    "batch_size": 2,
    "trials": 4,
    "trial_seconds": 0.5,
    "warmup_seconds": 1.0,
    "idle_seconds": 0.3,
    "target_fraction": None,
    "meter": "nvml:0",
    "device": "cpu",
    "quick": True,
}


class Working(nn.Module):
    """A classifier that works its board at a power of its own, for 5 ms a call."""

    num_classes = 10
    pretrained_cfg: ClassVar = {"input_size": (3, 32, 32)}

    def __init__(self, board, watts: float) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 32 * 32, 10)
        self.board, self.watts = board, watts

    def forward(self, x: Tensor) -> Tensor:
        self.board.power(self.watts)
        logits = self.head(x.flatten(1))
        time.sleep(0.005)
        self.board.power(60.0)
        return logits

    def __deepcopy__(self, memo):
        return Working(self.board, self.watts)


@pytest.fixture(scope="module")
def audited():
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with Simulator.start() as simulator:
        board = simulator.board(0)
        board.configure(update_seconds=0.02)
        models = [Working(board, 200.0), Working(board, 100.0)]
        return greenadapt.audit(*models, plan=Plan(**SHORT), names=["hungry", "frugal"])


def test_the_joules_of_an_audit_are_those_of_the_board(audited):
    for profile, watts in zip(audited, (200.0, 100.0), strict=True):
        summary = profile.summary
        assert summary.joules_per_inference is not None
        power = summary.joules_per_inference.mean * summary.inferences_per_second
        assert power == pytest.approx(watts, rel=0.05)
        assert profile.method.kind == "measured"
        assert profile.method.period_seconds == pytest.approx(0.02, rel=0.1)
        assert profile.idle.before_watts == pytest.approx(60.0, rel=0.02)


def test_what_was_seen_of_the_board_stands_in_the_profile(audited):
    validity = audited[0].validity
    (board,) = validity.boards
    assert board.looks >= 2
    assert board.sm_clock_mhz
    assert validity.crosscheck is not None
    assert validity.status == "invalid"
    assert "The joules are those of a simulated board." in validity.reasons


def test_the_verdict_is_on_energy_where_it_is_measured(audited):
    row = greenadapt.compare(*audited).rows[1]
    assert row.energy_ratio is not None
    # Other work on the machine stretches the calls; what is left is the ratio of the powers.
    assert row.energy_ratio.mean / row.latency_ratio.mean == pytest.approx(0.5, rel=0.05)


def test_a_throttled_board_is_said_to_be(simulator):
    board = simulator.board(0)
    board.configure(update_seconds=0.02)
    model = Working(board, 200.0)
    throttled = iter([False] * 40)

    def throttle(module, inputs):
        if next(throttled, True):
            board.throttle("thermal", 0.001)

    model.register_forward_pre_hook(throttle)
    hooked = Working.__deepcopy__
    Working.__deepcopy__ = lambda self, memo: self
    try:
        profile = greenadapt.audit(model, plan=Plan(**SHORT), names=["hot"])
    finally:
        Working.__deepcopy__ = hooked
    assert any("throttled" in reason for reason in profile.validity.reasons)


def test_the_command_line_measures_and_codecarbon_agrees(simulator, tmp_path):
    environment = Simulator.environment(power=150.0, update_seconds=0.02)
    command = ["audit", "cifar_resnet8", "--no-pretrained", "--random-data", "--quick", "--meter", "nvml:0"]
    run = subprocess.run(
        [sys.executable, "-m", "greenadapt", *command, "--trial-seconds", "0.5", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    profile = json.loads(run.stdout)
    assert profile["method"]["kind"] == "measured"
    crosscheck = profile["validity"]["crosscheck"]
    assert crosscheck["why_not"] is None
    assert abs(crosscheck["relative_difference"]) < 0.05

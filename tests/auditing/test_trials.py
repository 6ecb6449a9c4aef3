from __future__ import annotations

import time

import pytest

from greenadapt.auditing.instruments import Instrument
from greenadapt.auditing.trials import block_order, planned_seconds, run_trials, warm_up
from greenadapt.meters.replay import ReplayMeter
from greenadapt.profile import Plan

QUICK = Plan(trials=4, trial_seconds=0.02, warmup_seconds=0.3, idle_seconds=0, batch_size=8)


def run(names: str, plan: Plan = QUICK, meter: ReplayMeter | None = None):
    calls: list[str] = []

    def step_of(name: str):
        def step() -> None:
            calls.append(name)
            time.sleep(0.002)

        return step

    steps = {name: step_of(name) for name in names}
    return run_trials(Instrument(meter, "cpu"), steps, plan, lambda message, share: None), calls


def test_blocks_alternate_and_the_first_is_discarded():
    found, calls = run("ABC")
    ran = sorted((trial.order, name) for name, trials in found.trials.items() for trial in trials)
    assert "".join(name for _, name in ran) == "ABCCBAABCCBAABC"
    assert [order for order, _ in ran] == list(range(15))
    seen = [name for name, before in zip(calls, [None, *calls], strict=False) if name != before]
    assert "".join(seen) == "ABCBABCBABC"  # neighbours of one name run into each other
    for trials in found.trials.values():
        assert [trial.block for trial in trials] == [0, 1, 2, 3, 4]
        assert [trial.discarded for trial in trials] == [True, False, False, False, False]
        assert all(trial.inferences == 8 * trial.calls for trial in trials)
        assert all(trial.seconds >= 0.02 for trial in trials)
        starts = [trial.started_seconds for trial in trials]
        assert starts == sorted(starts)


def test_every_even_number_of_blocks_is_balanced():
    blocks = [block_order(["A", "B"], block) for block in range(1, 5)]
    assert sum(order == ["A", "B"] for order in blocks) == 2


def test_reasons_for_unknown_energy_are_kept_once():
    found, _ = run("A", meter=ReplayMeter([(0.0, 0.0), (0.001, 1.0)]))
    assert all(trial.joules is None for trial in found.trials["A"])
    assert len(found.failures["A"]) == 1
    assert "recording is over" in found.failures["A"][0]


def test_warming_up_ends_when_steady_or_at_its_bound():
    plan = Plan(trial_seconds=0.1, warmup_seconds=20)
    assert warm_up(Instrument(None, "cpu"), lambda: time.sleep(0.01), plan) < 20
    pace = iter(range(10_000))
    bounded = Plan(trial_seconds=0.1, warmup_seconds=0.5)
    spent = warm_up(Instrument(None, "cpu"), lambda: time.sleep(0.002 * next(pace)), bounded)
    assert 0.5 <= spent < 3


def test_the_announced_time_is_not_exceeded():
    start = time.perf_counter()
    run("AB", QUICK.model_copy(update={"trial_seconds": 0.1}))
    spent = time.perf_counter() - start
    assert spent < planned_seconds(QUICK.model_copy(update={"trial_seconds": 0.1}), 2)
    assert planned_seconds(Plan(), 2) == pytest.approx(2 * 5 + 2 * (60 + 11 * 5.05))

from __future__ import annotations

import itertools
import math
import time

import pytest

from greenadapt.auditing.instruments import Instrument, Stretch
from greenadapt.auditing.trials import (
    Arm,
    block_order,
    longest_pause,
    planned_seconds,
    run_trials,
    trial_seconds,
    warm_up,
)
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.replay import ReplayMeter
from greenadapt.profile import Plan
from greenadapt.statistics import settle
from tests.bench.audits import Scenario, VirtualClock, one_audit

QUICK = Plan(
    trials=4, trial_seconds=0.02, warmup_seconds=0.3, idle_seconds=0, batch_size=8, target_fraction=None
)


def run(names: str, plan: Plan = QUICK, meter: ReplayMeter | None = None):
    """Trials of calls that sleep, on the real clock."""
    calls: list[str] = []

    def step_of(name: str):
        def step() -> None:
            calls.append(name)
            time.sleep(0.002)

        return step

    arms = [Arm(name, step_of(name), 8 + number) for number, name in enumerate(names)]
    return run_trials(Instrument(meter, "cpu"), arms, plan, lambda message, share: None), calls


class Virtual:
    """An instrument in virtual time; a step tells the seconds and joules of its call."""

    device = "cpu"

    def __init__(self, clock: VirtualClock, period: float | None = 0.1, kind: str = "measured") -> None:
        self._clock = clock
        self.slow_period_seconds = period
        self.asked: list[float] = []
        self.began: list[float] = []

        class Meter:
            info = MeterInfo("virtual", kind, "gpu", period_seconds=period)

        self.meter = Meter()

    def stretch(self, step, seconds: float) -> Stretch:
        pace, joules = step()
        self.asked.append(seconds)
        self.began.append(self._clock.now())
        calls = math.ceil(seconds / pace)
        self._clock.sleep(calls * pace)
        return Stretch(calls * pace, calls, None if joules is None else calls * joules)


def virtual_run(plan: Plan, arms: dict[str, object], period: float | None = 0.1, kind: str = "measured"):
    clock, told = VirtualClock(), []
    instrument = Virtual(clock, period, kind)
    found = run_trials(
        instrument,
        [Arm(name, step, 1) for name, step in arms.items()],
        plan,
        lambda message, share: told.append((message, share)),
        clock,
    )
    return found, instrument, told, clock


def steady(joules: float | None = 1.0):
    return lambda: (0.01, joules)


def shaky(amount: float):
    """Joules that alternate around 1 with no period of two or four trials."""
    swing = itertools.cycle([1 + amount, 1 - amount, 1.0, 1 - amount, 1 + amount, 1.0, 1 + amount])
    return lambda: (0.01, next(swing))


def test_blocks_are_palindromes_that_alternate_and_the_first_is_discarded():
    found, calls = run("ABC")
    ran = sorted((trial.order, name) for name, trials in found.trials.items() for trial in trials)
    assert "".join(name for _, name in ran) == "ABCCBACBAABCABCCBA"
    assert [order for order, _ in ran] == list(range(18))
    seen = [name for name, before in zip(calls, [None, *calls], strict=False) if name != before]
    assert "".join(seen) == "ABCBACBABCABCBA"  # neighbours of one name run into each other
    for number, trials in enumerate(found.trials.values()):
        assert [trial.block for trial in trials] == [0, 0, 1, 1, 2, 2]
        assert [trial.discarded for trial in trials] == [True, True, False, False, False, False]
        assert all(trial.inferences == (8 + number) * trial.calls for trial in trials)
        assert {trial.stage for trial in trials} == {1}
        starts = [trial.started_seconds for trial in trials]
        assert starts == sorted(starts)


@pytest.mark.parametrize("names", ["A", "AB", "ABC", "ABCD"])
def test_every_network_has_the_middle_of_every_block_as_its_middle(names):
    for block in range(3):
        order = block_order(names, block)
        assert order == order[::-1]
        for name in names:
            places = [place for place, each in enumerate(order) if each == name]
            assert sum(places) == len(order) - 1


def test_reasons_for_unknown_energy_are_kept_once():
    found, _ = run("A", meter=ReplayMeter([(0.0, 0.0), (0.001, 1.0)]))
    assert all(trial.joules is None for trial in found.trials["A"])
    assert len(found.failures["A"]) == 1
    assert "recording is over" in found.failures["A"][0]


def test_the_pilot_s_noise_asks_for_a_second_stage():
    found = one_audit(Scenario(noise=0.02), (0.9,), Plan(), seed=3)
    stages = found.stages
    assert stages is not None
    assert stages.pilot_blocks == 5 < stages.blocks == stages.needed_blocks
    for trials in found.trials.values():
        assert [trial.stage for trial in trials] == [1] * 12 + [2] * (2 * stages.blocks - 10)
        assert sum(not trial.discarded for trial in trials) == 2 * stages.blocks
    assert settle(found.trials, Plan(), 5.0, measured=True) == stages


def test_without_noise_or_without_a_target_the_pilot_is_all():
    for plan, noise in ((Plan(), 0.001), (Plan(target_fraction=None), 0.05)):
        found = one_audit(Scenario(noise=noise), (0.9,), plan, seed=3)
        assert found.stages is not None
        assert found.stages.blocks == 5


def test_the_worst_of_the_rivals_steers():
    found, *_ = virtual_run(Plan(), {"base": steady(), "calm": steady(0.9), "shaky": shaky(0.04)})
    assert found.stages is not None
    assert found.stages.worst == "shaky"
    assert found.stages.blocks > 5
    assert {len(trials) for trials in found.trials.values()} == {2 * (found.stages.blocks + 1)}


def test_estimated_joules_do_not_steer():
    found, *_ = virtual_run(Plan(), {"A": steady(), "B": shaky(0.04)}, kind="estimated")
    assert found.stages is not None
    assert (found.stages.quantity, found.stages.blocks) == ("seconds", 5)


def test_a_network_alone_is_steered_by_its_own_figure():
    found, *_ = virtual_run(Plan(), {"A": shaky(0.04)})
    assert found.stages is not None
    assert found.stages.worst == "A"
    assert found.stages.blocks > 5


def test_the_budget_ends_the_trials_but_not_the_pilot():
    arms = {"A": steady(), "B": shaky(0.2)}
    _, _, _, clock = virtual_run(Plan(budget_seconds=300), arms)
    assert 270 < clock.now() < 305
    found, *_ = virtual_run(Plan(budget_seconds=10), arms)
    assert found.stages is not None
    assert found.stages.blocks == 5


@pytest.mark.parametrize(
    ("plan", "period", "seconds"),
    [
        (Plan(), 0.1, 5.0),
        (Plan(), 0.5, 25.0),
        (Plan(), None, 5.0),
        (Plan.quick_look(), 0.02, 0.5),
        (Plan.quick_look(), 0.5, 5.0),
    ],
)
def test_a_trial_is_long_enough_for_its_counter(plan, period, seconds):
    found, instrument, _, _ = virtual_run(plan, {"A": steady()}, period)
    assert set(instrument.asked) == {seconds} == {trial_seconds(plan, period)}
    assert found.stages is not None
    assert found.stages.trial_seconds == seconds


def test_trials_start_at_every_phase_of_the_counter():
    for period in (0.1, 0.5):
        _, instrument, _, _ = virtual_run(Plan(trials=400, target_fraction=None), {"A": steady()}, period)
        phases = [began % period / period for began in instrument.began]
        assert all(sum(part / 4 <= phase < (part + 1) / 4 for phase in phases) > 70 for part in range(4))


def test_the_seed_fixes_the_pauses():
    began = [virtual_run(Plan(seed=seed), {"A": steady(), "B": steady()})[1].began for seed in (1, 1, 2)]
    assert began[0] == began[1] != began[2]


def test_progress_tells_stage_and_block_and_never_falls():
    found, _, told, _ = virtual_run(Plan(), {"A": steady(), "B": shaky(0.04)})
    messages, shares = zip(*told, strict=True)
    assert found.stages is not None
    assert messages[0] == "trials, pilot: block 0 of 5 (discarded)"
    assert messages[5] == "trials, pilot: block 5 of 5"
    assert found.stages.reason in messages[6]
    assert messages[-1] == f"trials, second stage: block {found.stages.blocks} of {found.stages.blocks}"
    assert list(shares) == sorted(shares)
    assert 0 <= min(shares) <= max(shares) <= 1


def test_warming_up_ends_when_steady_or_at_its_bound():
    clock = VirtualClock()
    assert warm_up(Virtual(clock), steady(), Plan(), clock) == pytest.approx(2.0)
    pace = itertools.count(1)
    slowing = warm_up(Virtual(clock), lambda: (0.01 * 1.05 ** next(pace), 1.0), Plan(), clock)
    assert 60 <= slowing < 63


def test_warming_up_waits_for_the_joules_where_the_meter_can_tell():
    def settling():
        windows = itertools.count()
        return lambda: (0.01, 1.0 + 0.5 * 0.5 ** next(windows))

    clock = VirtualClock()
    assert warm_up(Virtual(clock), settling(), Plan(), clock) > 5
    for other in (Virtual(clock, kind="estimated"), Virtual(clock, period=None)):
        assert warm_up(other, settling(), Plan(), clock) == pytest.approx(2.0)
    unknown = warm_up(Virtual(clock), steady(None), Plan(), clock)
    assert unknown == pytest.approx(2.0)


def test_warming_up_is_bounded_on_the_real_clock():
    pace = iter(range(10_000))
    bounded = Plan(trial_seconds=0.1, warmup_seconds=0.5)
    spent = warm_up(Instrument(None, "cpu"), lambda: time.sleep(0.002 * next(pace)), bounded)
    assert spent >= 0.5


@pytest.mark.parametrize("period", [None, 0.1, 0.5])
@pytest.mark.parametrize(
    "plan", [Plan(idle_seconds=0), Plan(idle_seconds=0, budget_seconds=600), Plan.quick_look(idle_seconds=0)]
)
def test_an_audit_takes_what_was_announced(plan, period):
    for arms in ({"A": steady(), "B": steady()}, {"A": steady(), "B": shaky(0.2)}):
        clock = VirtualClock()
        instrument = Virtual(clock, period)
        wanted = [Arm(name, step, 1) for name, step in arms.items()]
        for arm in wanted:
            warm_up(instrument, arm.step, plan, clock)
        run_trials(instrument, wanted, plan, lambda message, share: None, clock)
        announced = planned_seconds(plan, 2, period)
        assert announced.least <= clock.now() <= announced.most


def test_the_announced_time_counts_stage_two_and_slow_counters():
    plain = planned_seconds(Plan(), 2)
    assert plain.least == pytest.approx(2 * 5 + 2 * 2 + 24 * 5)
    assert plain.most == pytest.approx(2 * 5 + 2 * 61 + 1200)
    assert planned_seconds(Plan(target_fraction=None), 2).most < plain.most
    assert planned_seconds(Plan(), 2, 0.5).least > 24 * 25
    many = planned_seconds(Plan(), 16, 0.5)
    assert many.most > many.least > 1200
    assert longest_pause(Plan(), 0.5) == 0.5

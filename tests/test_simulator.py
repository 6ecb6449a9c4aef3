"""The simulated board: its truth against integrals done by hand, and its counter against its truth.

Almost all of it runs in virtual time, so that a crowded machine changes nothing.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pynvml
import pytest

from tests.simulator import Simulator, SimulatorError


def handle(sim: Simulator, index: int = 0) -> Any:
    pynvml.nvmlInit()
    return pynvml.nvmlDeviceGetHandleByUUID(sim.board(index).uuid)


def joules(board: Any) -> float:
    return pynvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1000


@pytest.fixture
def virtual(simulator: Simulator) -> Simulator:
    simulator.virtual(True)
    return simulator


def test_a_board_idles_until_told_otherwise(virtual: Simulator) -> None:
    start = virtual.now()
    virtual.advance(10)
    assert virtual.board(0).joules(start, virtual.now()) == pytest.approx(600)


def test_steps_add_up(virtual: Simulator) -> None:
    board, start = virtual.board(0), virtual.now()
    for watts, seconds in [(100, 2), (250, 0.5), (0, 3), (70, 1)]:
        board.power(watts)
        virtual.advance(seconds)
    assert board.joules(start, virtual.now()) == pytest.approx(200 + 125 + 0 + 70)
    assert board.joules(start + 1, start + 2.25) == pytest.approx(100 + 0.25 * 250)


def test_a_square_wave_is_integrated_exactly(virtual: Simulator) -> None:
    board, start = virtual.board(0), virtual.now()
    board.square(60, 300, 0.037, duty=0.25, phase=0.5)
    virtual.advance(1)
    # From phase 0.5: half a period low, then whole periods, a quarter of each high.
    whole = math.floor((1 - 0.0185) / 0.037)
    rest = 1 - 0.0185 - whole * 0.037
    high = whole * 0.037 * 0.25 + min(rest, 0.037 * 0.25)
    # The later the clock, the coarser its floats: 1e-7 J are some 0.3 ns of 300 W.
    assert board.joules(start, start + 1) == pytest.approx(60 + 240 * high, abs=1e-7)
    assert board.joules(start, start + 0.0185) == pytest.approx(60 * 0.0185, abs=1e-7)
    assert board.joules(start + 0.0185, start + 0.0185 + 0.00925) == pytest.approx(300 * 0.00925, abs=1e-7)


def test_a_ramp_is_integrated_exactly_and_then_holds(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.power(100)
    start = virtual.now()
    board.ramp(300, seconds=4)
    virtual.advance(2)
    assert board.watts() == pytest.approx(200)
    virtual.advance(8)
    assert board.joules(start, start + 2) == pytest.approx(300)
    assert board.joules(start, start + 10) == pytest.approx(800 + 6 * 300)


def test_saying_the_same_power_again_changes_nothing(virtual: Simulator) -> None:
    board, start = virtual.board(0), virtual.now()
    for _ in range(3):
        board.power(100)
        virtual.advance(1)
    board.power(200, at=virtual.now() + 1)
    virtual.advance(0.5)
    board.power(100)
    virtual.advance(2)
    assert board.joules(start, virtual.now()) == pytest.approx(550)


def test_a_trace_is_followed_and_can_be_cut_short(virtual: Simulator) -> None:
    board, start = virtual.board(0), virtual.now()
    board.trace([(0, 100), (1, 200), (2, 300)])
    virtual.advance(1.5)
    board.power(50)
    virtual.advance(3)
    assert board.joules(start, virtual.now()) == pytest.approx(100 + 100 + 150)


def test_power_may_be_planned_but_the_past_stays(virtual: Simulator) -> None:
    board, start = virtual.board(0), virtual.now()
    board.power(500, at=start + 2)
    virtual.advance(3)
    assert board.joules(start, start + 3) == pytest.approx(120 + 500)
    with pytest.raises(SimulatorError, match="past"):
        board.power(1, at=start)


@pytest.mark.parametrize(
    "moments", [(-1.0, 0.5), (0.0, 5.0), (0.5, 0.2)], ids=["before", "future", "backwards"]
)
def test_the_truth_is_refused_where_it_is_not_known(virtual: Simulator, moments: tuple[float, float]) -> None:
    start = virtual.now()
    virtual.board(0).power(100)
    virtual.advance(1)
    with pytest.raises(SimulatorError):
        virtual.board(0).joules(*(start + moment - (10 if moment < 0 else 0) for moment in moments))


def test_an_overrun_history_is_an_error_and_never_a_wrong_figure(virtual: Simulator) -> None:
    board, start = virtual.board(0), virtual.now()
    points = [(1e-3 * i, 100.0 + i % 7) for i in range(1, 1_000_000)]
    board.trace(points)
    virtual.advance(999.9995)
    with pytest.raises(SimulatorError, match="lost"):
        board.power(99)
    lost = virtual.now()
    virtual.advance(1)
    expected = 60 * 1e-3 + sum(watts * 1e-3 for _, watts in points[:499_999])
    assert board.joules(start, start + 500) == pytest.approx(expected, rel=1e-9)
    assert board.joules(start, lost) > 0
    with pytest.raises(SimulatorError, match="lost"):
        board.joules(start, virtual.now())
    with pytest.raises(pynvml.NVMLError):
        joules(handle(virtual))


@pytest.mark.parametrize("update", [0.01, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_the_counter_lags_the_truth_by_less_than_its_period(
    virtual: Simulator, update: float, jitter: float
) -> None:
    board = virtual.board(0)
    board.configure(update_seconds=update, jitter=jitter, phase=0.3)
    board.square(60, 300, 0.037)
    virtual.advance(1)
    nvml, start, first = handle(virtual), virtual.now(), joules(handle(virtual))
    slack = (1 + jitter) * update * 300 + 0.002
    for _ in range(2000):
        virtual.advance(0.00317)
        behind = board.joules(start, virtual.now()) - (joules(nvml) - first)
        assert -slack < behind < slack


def test_the_counter_moves_at_its_ticks_and_tells_whole_millijoules(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.configure(update_seconds=0.1, phase=0.0)
    board.power(123.456789)
    nvml, values = handle(virtual), []
    for _ in range(1000):
        virtual.advance(0.001)
        values.append(pynvml.nvmlDeviceGetTotalEnergyConsumption(nvml))
    moved = [i for i in range(1, 1000) if values[i] != values[i - 1]]
    assert len(moved) in (9, 10)
    assert {b - a for a, b in itertools.pairwise(moved)} <= {99, 100, 101}
    assert {values[i] - values[i - 1] for i in moved[1:]} <= {12345, 12346}


def test_gain_scales_counter_and_power_but_not_the_truth(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.configure(gain=0.94, update_seconds=0.01)
    board.power(200)
    virtual.advance(1)
    nvml, start, first = handle(virtual), virtual.now(), joules(handle(virtual))
    virtual.advance(10)
    assert joules(nvml) - first == pytest.approx(1880, abs=2)
    assert board.joules(start, virtual.now()) == pytest.approx(2000)
    assert pynvml.nvmlDeviceGetPowerUsage(nvml) == 188_000


def test_settings_changed_in_midstream_leave_the_counter_continuous(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.power(100)
    nvml, first = handle(virtual), joules(handle(virtual))
    virtual.advance(1.03)
    for update in (0.5, 0.02, 0.1):
        before = joules(nvml)
        board.configure(update_seconds=update)
        assert joules(nvml) == before
        virtual.advance(2)
    assert joules(nvml) - first == pytest.approx(703, abs=10.1)


def test_a_sampled_counter_sees_a_quarter_and_can_be_fooled(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.configure(phase=0.0, window_seconds=0.1, duty_seconds=0.025, counter_sampled=True)
    nvml = handle(virtual)

    def seen(low: float, high: float, period: float) -> float:
        board.square(low, high, period)
        virtual.advance(1)
        first, start = joules(nvml), virtual.now()
        virtual.advance(20)
        return (joules(nvml) - first) / board.joules(start, virtual.now())

    assert seen(150, 150, 0.1) == pytest.approx(1, abs=0.001)
    assert seen(60, 300, 0.037) == pytest.approx(1, abs=0.02)
    assert abs(seen(60, 300, 0.1) - 1) > 0.3


def test_a_counter_that_begins_to_sample_in_midstream_goes_on_from_where_it_was(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.power(100)
    nvml, first = handle(virtual), joules(handle(virtual))
    for duty, sampled in ((0.025, True), (0.05, True), (0.05, False), (0.01, True)):
        virtual.advance(10)
        board.configure(duty_seconds=duty, counter_sampled=sampled)
    virtual.advance(10)
    assert joules(nvml) - first == pytest.approx(5000, abs=60)


@pytest.mark.parametrize(("duty", "expected"), [(0.025, 100.0), (0.1, 100.0), (1.0, 75.0)])
def test_power_readings_average_what_they_are_told_to(
    virtual: Simulator, duty: float, expected: float
) -> None:
    board = virtual.board(0)
    board.configure(window_seconds=0.1, duty_seconds=duty, phase=0.0)
    board.power(50)
    virtual.advance(10)
    board.power(100)
    virtual.advance(0.505)
    assert pynvml.nvmlDeviceGetPowerUsage(handle(virtual)) / 1000 == pytest.approx(expected, abs=1.0)


def test_a_reset_counter_starts_again_at_nought(virtual: Simulator) -> None:
    board = virtual.board(0)
    board.power(100)
    nvml = handle(virtual)
    board.reset_counter(at=virtual.now() + 1)
    virtual.advance(0.9)
    assert joules(nvml) > 1000
    virtual.advance(0.2)
    assert joules(nvml) < 20
    virtual.advance(10)
    assert joules(nvml) == pytest.approx(1010, abs=11)


def test_boards_do_not_share_power_ticks_or_uuid() -> None:
    with Simulator.start(boards=2, virtual=True) as sim:
        sim.board(0).power(100)
        sim.board(1).power(200)
        assert sim.board(0).uuid != sim.board(1).uuid
        handles = [handle(sim, i) for i in range(2)]
        first = [joules(each) for each in handles]
        changes: list[set[int]] = [set(), set()]
        for step in range(1000):
            virtual_before = [joules(each) for each in handles]
            sim.advance(0.001)
            for i, each in enumerate(handles):
                if joules(each) != virtual_before[i]:
                    changes[i].add(step)
        assert joules(handles[0]) - first[0] == pytest.approx(100, abs=10.1)
        assert joules(handles[1]) - first[1] == pytest.approx(200, abs=20.1)
        assert all(changes)
        assert not changes[0] & changes[1]

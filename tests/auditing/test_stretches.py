from __future__ import annotations

import json
import time

import pytest

from greenadapt import measure, window
from greenadapt.errors import MeasurementError, OptionError
from greenadapt.meters.replay import RECORDING_VARIABLE
from tests.simulator import Simulator


@pytest.fixture
def recording(tmp_path, monkeypatch):
    """Lets "replay" play a counter of that many watts that moves every so many seconds."""

    def record(step_seconds: float, watts: float = 10.0, seconds: float = 30.0) -> None:
        path = tmp_path / "recording.json"
        count = int(seconds / step_seconds)
        path.write_text(json.dumps([[step_seconds * k, watts * step_seconds * k] for k in range(count)]))
        monkeypatch.setenv(RECORDING_VARIABLE, str(path))

    return record


@pytest.mark.parametrize("step_seconds", [0.001, 0.03])
def test_measure_gives_joules_per_call(recording, step_seconds):
    recording(step_seconds)
    found = measure(lambda: time.sleep(0.01), seconds=0.25, trials=3, meter="replay", device="cpu")
    assert found.joules_per_call is not None
    assert found.ci95 is not None
    assert found.joules_per_call == pytest.approx(10 * found.seconds_per_call.mean, rel=0.05)
    assert found.ci95[0] <= found.joules_per_call <= found.ci95[1]
    assert (found.kind, found.meter, len(found.trials)) == ("measured", "replay", 3)
    assert "J per call" in str(found)
    assert found.idle_watts is None


def test_measure_without_a_meter_says_why():
    found = measure(lambda: None, seconds=0.01, trials=2, meter="none", device="cpu")
    assert (found.joules_per_call, found.ci95, found.kind) == (None, None, None)
    assert "No meter was wanted" in str(found)


def test_measure_of_a_slow_counter_needs_time(recording):
    recording(0.5)
    found = measure(lambda: time.sleep(0.01), seconds=0.05, trials=2, meter="replay", device="cpu")
    assert found.joules_per_call is None
    assert "Too short" in (found.why_not or "")


@pytest.mark.parametrize(
    ("seconds", "trials"),
    [(0, 5), (1, 1), (float("nan"), 2), (float("inf"), 2), (-1, 2), (True, 2), ("1", 2), (1, True), (1, 2.5)],
)
def test_measure_refuses_what_is_no_trial(seconds, trials):
    with pytest.raises(OptionError):
        measure(lambda: None, seconds=seconds, trials=trials)


@pytest.mark.parametrize("idle", [float("nan"), float("inf"), -0.1, True])
def test_measure_refuses_what_is_no_time_to_idle(idle):
    with pytest.raises(OptionError):
        measure(lambda: None, seconds=0.01, trials=2, idle_seconds=idle, meter="none", device="cpu")


@pytest.mark.parametrize("meter", [7, None, True])
def test_a_meter_that_is_no_name_is_refused(meter):
    for use in (lambda: measure(lambda: None, meter=meter, device="cpu"), window(meter, "cpu").__enter__):
        with pytest.raises(OptionError, match="not a meter's name") as error:
            use()
        assert all(name in error.value.todo for name in ("auto", "none", "nvml", "rapl"))


@pytest.mark.parametrize("step_seconds", [0.001, 0.03])
def test_a_counter_that_stands_still_is_unknown_and_never_zero(recording, step_seconds):
    recording(step_seconds, watts=0.0)
    found = measure(lambda: time.sleep(0.01), seconds=0.3, trials=2, meter="replay", device="cpu")
    assert (found.joules_per_call, [trial.joules for trial in found.trials]) == (None, [None, None])
    assert found.why_not
    with window(meter="replay", device="cpu") as w:
        time.sleep(0.3)
    assert (w.joules, w.bound, w.kind) == (None, None, None)
    assert w.why_not
    assert "None" not in f"{found} {w}"


def test_power_of_nothing_is_no_energy(simulator):
    """A board without a counter whose power reads 0."""
    simulator.board(0).configure(counter=False, window_seconds=0.02, duty_seconds=0.01)
    simulator.board(0).power(0)
    time.sleep(0.2)
    with window(meter="nvml:0", device="cpu") as w:
        time.sleep(0.2)
    assert w.joules is None
    assert "did not move" in (w.why_not or "")


def test_other_processes_on_the_board_are_told(simulator):
    board = simulator.board(0)
    board.configure(update_seconds=0.02)
    board.processes([4_000_000, 4_000_001])
    found = measure(lambda: time.sleep(0.01), seconds=0.2, trials=2, meter="nvml:0", device="cpu")
    with window(meter="nvml:0", device="cpu") as w:
        time.sleep(0.2)
    board.processes([])
    with window(meter="nvml:0", device="cpu") as late:
        time.sleep(0.2)
        board.processes([4_000_000])
    for notes, count in (
        (found.notes, "2 other processes"),
        (w.notes, "2 other"),
        (late.notes, "1 other pr"),
    ):
        assert [note for note in notes if note.startswith(count)]
    board.processes([])
    with window(meter="nvml:0", device="cpu") as alone:
        time.sleep(0.2)
    assert not [note for note in alone.notes if "other" in note]


def test_window_of_a_fast_counter(recording):
    recording(0.001)
    with window(meter="replay", device="cpu") as w:
        time.sleep(0.2)
    assert w.joules is not None
    assert w.bound is not None
    assert w.seconds == pytest.approx(0.2, abs=0.1)
    assert w.joules == pytest.approx(10 * w.seconds, rel=0.05)
    assert w.kind == "measured"


def test_window_of_a_slow_counter_keeps_its_bound(recording):
    recording(0.05)
    for _ in range(3):
        with window(meter="replay", device="cpu") as w:
            time.sleep(0.23)
        assert w.joules is not None
        assert w.bound is not None
        assert w.seconds is not None
        assert abs(w.joules - 10 * w.seconds) <= w.bound
        assert 0 < w.bound < 2 * 10 * 0.05 + 0.5


def test_window_too_short_is_unknown_and_says_why(recording):
    recording(0.05)
    with window(meter="replay", device="cpu") as w:
        time.sleep(0.06)
    assert w.joules is None
    assert w.bound is None
    assert "needed" in (w.why_not or "")
    assert "energy unknown" in str(w)


def test_leaving_a_window_never_raises(recording):
    recording(0.001, seconds=0.05)
    with window(meter="replay", device="cpu") as w:
        time.sleep(0.1)
    assert w.joules is None
    assert "recording is over" in (w.why_not or "")


def test_a_window_hides_no_error_of_the_block(recording):
    recording(0.001)
    with pytest.raises(KeyError), window(meter="replay", device="cpu") as w:
        raise KeyError("theirs")
    assert w.seconds is not None


def test_windows_nest(recording):
    recording(0.001)
    with window(meter="replay", device="cpu") as outer:
        time.sleep(0.05)
        with window(meter="replay", device="cpu") as inner:
            time.sleep(0.05)
    assert outer.joules is not None
    assert inner.joules is not None
    assert outer.joules > inner.joules


def test_an_estimated_window_is_labelled_and_has_no_bound():
    with window(meter="codecarbon", device="cpu") as w:
        time.sleep(0.2)
    assert w.kind == "estimated"
    assert w.joules is not None
    assert w.joules > 0
    assert w.bound is None


def test_a_meter_that_cannot_be_opened_is_an_error_on_entry():
    with pytest.raises(MeasurementError), window(meter="nvml", device="cpu"):
        pass


def test_a_measurement_tells_what_its_joules_mean():
    with Simulator.start(boards=2) as simulator:
        boards = simulator.boards
        for board in boards:
            board.configure(update_seconds=0.02)

        def call() -> None:
            for board in boards:
                board.power(260)
            time.sleep(0.01)
            for board in boards:
                board.power(60)

        found = measure(call, seconds=0.4, trials=2, meter="nvml:all", device="cpu", idle_seconds=0.3)
        assert found.idle_watts == pytest.approx(120, rel=0.05)
        assert set(found.boards) == {board.uuid for board in boards}
        assert found.joules_per_call == pytest.approx(sum(found.boards.values()), rel=0.05)
        net = found.joules_per_call - found.idle_watts * found.seconds_per_call.mean
        assert found.net_joules_per_call == pytest.approx(net)
        assert found.systematic_fraction == 0.05
        assert found.period_seconds == pytest.approx(0.02, rel=0.1)
        assert found.notes == ["sum of 2 boards"]
        text = str(found)
        assert all(part in text for part in ("net of", "5%", "2 boards", boards[0].uuid))


def test_trials_that_fail_are_told(simulator):
    board, calls = simulator.board(0), []
    board.configure(update_seconds=0.02)

    def call() -> None:
        calls.append(time.sleep(0.01))
        if len(calls) == 60:
            board.reset_counter()

    found = measure(call, seconds=0.3, trials=4, meter="nvml:0", device="cpu")
    assert found.joules_per_call is not None
    assert "1 trials" in " ".join(found.notes)

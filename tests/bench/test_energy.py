"""The bench itself: its page, its small figures, and a short run of all of it."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from greenadapt.auditing.instruments import Stretch
from tests import simulator
from tests.bench.energy import __main__ as command
from tests.bench.energy import boards, bursts, cost, page, peers
from tests.bench.energy.calls import counted
from tests.bench.energy.loads import PHASES, Calls
from tests.bench.energy.rows import Row, percentile

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "results"
needs_simulator = pytest.mark.skipif(simulator.why_not() is not None, reason=str(simulator.why_not()))


def _results(*rows: Row, group: str = "calls", **changes: Any) -> dict[str, Any]:
    return {
        "quick": False,
        "seed": 1,
        "created": "2024-01-01T00:00:00+00:00",
        "seconds": 60.0,
        "machine": {"processor": "P", "cores": 2, "system": "S", "python": "3.11"},
        "versions": {"zeus": "0.16.0"},
        "groups": {group: {"seconds": 60.0, "load_before": 0.1, "rows": [row.as_json() for row in rows]}},
        **changes,
    }


MET = Row("joules per call", "U = 10 ms, 1 s", "p95 <= 0.5 %", "p95 0.1 %", True, 50)
MISSED = dataclasses.replace(MET, condition="U = 20 ms, 1 s", shown="p95 0.9 %", met=False)


def test_the_page_is_what_the_figures_make_of_it() -> None:
    results = json.loads((PUBLISHED / "energy.json").read_text(encoding="utf-8"))
    assert (PUBLISHED / "energy.md").read_text(encoding="utf-8") == page.drawn(results)


def test_the_published_figures_are_those_of_a_whole_run() -> None:
    results = json.loads((PUBLISHED / "energy.json").read_text(encoding="utf-8"))
    assert results["quick"] is False
    assert list(results["groups"]) == list(command.GROUPS)


def test_a_bar_that_is_missed_is_printed_as_not_met_and_named_at_the_top() -> None:
    text = page.drawn(_results(MET, MISSED))
    assert "| p95 0.9 % | **NOT met** |" in text
    assert "| p95 0.1 % | met |" in text
    assert "**1 of 2 bars are met.** NOT met: joules per call, U = 20 ms, 1 s." in text


def test_a_quick_run_says_that_it_is_no_result() -> None:
    assert "quick run" in page.drawn(_results(MET, quick=True))
    assert "quick run" not in page.drawn(_results(MET))


def test_one_fault_that_gets_through_is_not_met() -> None:
    caught = Row("fault", "a counter reset", "refused", "an error", True, 1)
    silent = dataclasses.replace(caught, condition="a failing call", met=False)
    text = page.drawn(_results(caught, silent, group="injected"))
    assert "| 1 of 2 | **NOT met** |" in text
    assert "| a failing call | refused | an error | **NO** |" in text


def test_figures_survive_the_file() -> None:
    row = dataclasses.replace(MET, values={"p95": 1 / 3, "max": None}, raw=[{"errors": [0.1, -2e-7]}])
    results = json.loads(command.dumped(_results(row)))
    (read,) = results["groups"]["calls"]["rows"]
    assert read["raw"] == [{"errors": [0.1, -2e-7]}]
    assert read["values"]["p95"] == pytest.approx(1 / 3, rel=1e-5)
    assert results["seed"] == 1


@pytest.mark.parametrize(("share", "expected"), [(0.95, 95), (0.5, 50), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_one_of_the_values_and_no_smaller_than_its_share(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_of_few_values_the_95th_percentile_is_the_worst() -> None:
    assert percentile([0.1] * 18 + [9.0], 0.95) == 9.0


@needs_simulator
def test_calls_draw_the_power_that_they_say() -> None:
    with simulator.Simulator.start(boards=1) as machine:
        (board,) = machine.boards
        step = Calls(board, 0.02, jittered=False, seed=0)
        step.repeat(0.2)
        truth = board.joules(step.begun[0], step.ended[-1])
    mean = truth / (step.ended[-1] - step.begun[0])
    assert len(step.ended) >= 2
    assert min(watts for _, watts in PHASES) < mean < max(watts for _, watts in PHASES)


def _five_calls() -> Calls:
    """Calls of 10 ms from 0 to 50 ms, each noted a little after it began and a little before it ended."""
    step = Calls(None, 0.01, jittered=False, seed=0)  # type: ignore[arg-type]
    step.begun = [0.01 * number + 1e-5 for number in range(5)]
    step.ended = [0.01 * number + 0.00998 for number in range(5)]
    return step


def test_the_oracle_is_asked_about_the_calls_that_were_counted_and_no_other() -> None:
    trial = Stretch(seconds=0.03, calls=3, joules=1.0, started=0.01)
    assert counted([trial], _five_calls()) == [(pytest.approx(0.01001), pytest.approx(0.03998))]


def test_a_trial_that_counts_other_calls_than_ran_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 calls ran in a trial that counts 4"):
        counted([Stretch(seconds=0.03, calls=4, joules=1.0, started=0.01)], _five_calls())


def test_progress_lost_to_looks_is_found() -> None:
    """Calls of 1 ms; every 100 ms a look takes 0.5 ms away: half a per cent."""
    looks = [(0.1 * number, 0.1 * number + 1e-4) for number in range(1, 40)]
    ended, moment = [], 0.0
    while moment < 4.0:
        start, moment = moment, moment + 0.001
        moment += 0.0005 * sum(start <= look[0] < moment for look in looks)
        ended.append(moment)
    lost, pace = cost.lost_seconds(looks, ended)
    assert len(lost) >= 35
    assert sum(lost) / len(lost) == pytest.approx(0.0005, rel=0.05)
    assert pace == pytest.approx(10.0, rel=0.05)


def test_looks_close_together_are_one() -> None:
    looks = [(t, t + 1e-4) for number in range(1, 10) for t in (0.1 * number, 0.1 * number + 0.003)]
    lost, pace = cost.lost_seconds(looks, [0.001 * number for number in range(1200)])
    assert pace == pytest.approx(11, rel=0.1)
    assert max(map(abs, lost)) < 1e-9


def test_a_machine_that_is_gone_for_a_while_does_not_decide_the_cost() -> None:
    middle, reach = cost.trimmed([1.0, 1.1, 0.9] * 20 + [500.0, -400.0])
    assert middle == pytest.approx(1.0, abs=0.03)
    assert 0 < reach < 0.1


def _burst(**changes: Any) -> dict[str, Any]:
    known = {
        "period": 0.1,
        "seconds": 1.0,
        "kind": "steady",
        "after": "rest",
        "truth": 100.0,
        "zeus": None,
        "beyond": 0.0,
    }
    return {**known, "joules": 101.0, "bound": 2.0, "why_not": None, **changes}


def test_a_truth_outside_the_bound_counts_against_it_and_a_refusal_does_not() -> None:
    refused = _burst(joules=None, bound=None, why_not="too short")
    inside, width, refusals, *_ = bursts.table([_burst()] * 3 + [_burst(bound=0.5), refused])
    assert inside.values["share"] == 0.75
    assert inside.met is False
    assert inside.n == 4
    assert width.values["median"] == pytest.approx(2.0 / (2 * 0.1 * 101.0))
    assert refusals.met is True


def test_a_window_without_a_bound_does_not_hold() -> None:
    inside, *_ = bursts.table([_burst(bound=None)])
    assert inside.values["share"] == 0.0


def test_a_refusal_without_a_reason_or_a_zero_is_not_met() -> None:
    for wrong in (_burst(joules=None, bound=None), _burst(joules=0.0)):
        assert bursts.table([_burst(), wrong])[2].met is False


def test_a_peer_that_is_not_installed_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "installed", lambda package: None if package == "zeus" else "1")
    (row,) = [peers._row(peers.ZEUS, 0.1, 1.0, [{peers.ZEUS: None}])]
    assert row.shown == "not installed"
    assert row.n == 0


@needs_simulator
@pytest.mark.slow
def test_a_short_run_of_the_real_thing(tmp_path: Path) -> None:
    """Figures come out of every group; what they come to on a busy machine is not judged here."""
    try:
        results = command.run(("calls", "bursts", "periods"), quick=True, seed=1)
    finally:
        boards.dismiss()
    rows = [Row(**row) for group in results["groups"].values() for row in group["rows"]]
    calls = [row for row in rows if row.name.startswith("joules per call")]
    assert all(row.n > 0 and row.values["p95"] is not None for row in calls)
    assert all(math.isfinite(row.values["p95"]) and row.values["p95"] < 0.2 for row in calls)
    assert next(row for row in rows if "refused" in row.condition).met
    assert "quick run" in page.drawn(results)

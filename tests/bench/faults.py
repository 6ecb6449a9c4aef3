"""What is injected into simulated boards, and whether greenadapt says so. Every function returns rows.

    disturbances()              one fault each in a run of two minutes of virtual time ──> Watch ──> judge
    resets()                    the energy counter starts again: meter, watch and verdict
    selections()                forms of naming a board (`tests.bench.forms`)
    failing.failing_calls()     each NVML function that is used, failing at some time

The benchmark puts `rows` on its page; tests/bench/test_faults.py holds each to being caught.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from greenadapt.boards import BoardReport
from greenadapt.boards.tenants import Tenants
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import MeterInfo
from greenadapt.meters.nvml import NvmlMeter
from greenadapt.profile import Agreement
from tests.bench.failing import failing_calls
from tests.bench.forms import FORMS, try_form
from tests.bench.runs import ANOTHER, LOOKS, Row, clock_of, judged_row, once, trials, verdict, watched
from tests.simulator import Board, Simulator


def rows(quick: bool = False, seed: int = 0) -> list[Row]:
    """All of them.

    Args:
        quick: Makes no difference: virtual time is quick.
        seed: Draws the moments at which looks happen.
    """
    return [*disturbances(seed), *failing_calls(seed), *resets(seed), *selections()]


def _quiet(board: Board, share: float) -> None:
    """Nothing happens."""


def _slowing(board: Board, share: float) -> None:
    board.clock(clock_of(round(share * LOOKS)) * (1 - 0.02 * share))


def _warming(board: Board, share: float) -> None:
    board.temperature(50.0 + 10.0 * share)


def _briefly(bits: int) -> Callable[[Board, float], None]:
    return lambda board, share: board.reasons(bits if 0.5 < share < 0.55 else 0)


_ME = os.getpid()


@dataclass(frozen=True)
class _Fault:
    """What is done to the board, and what must come of it: the status and words of a reason."""

    words: str
    disturb: Callable[[Board, float], None]
    says: str
    status: str = "suspect"


def _throttled(policy: str, seconds: float) -> Callable[[Board, float], None]:
    return once(0.5, lambda board: board.throttle(policy, seconds))


def _tenants(share: float, compute: list[int], graphics: list[int]) -> Callable[[Board, float], None]:
    return once(share, lambda board: board.processes(compute, graphics))


def _limited(end: float) -> Callable[[Board, float], None]:
    return lambda board, share: board.power_limit(400.0 if 0.4 < share < end else 700.0)


def _faults() -> list[_Fault]:
    """Made anew for every use, since some remember what they did."""
    return [
        _Fault("another process computes", _tenants(0.3, [_ME, ANOTHER], []), "1 other"),
        _Fault("another process draws", _tenants(0.3, [_ME], [ANOTHER]), "1 other"),
        _Fault("two others, at the end only", _tenants(0.95, [_ME, ANOTHER], [ANOTHER + 1]), "2 other"),
        _Fault("another process, ours not listed", _tenants(0.3, [ANOTHER], []), "1 other"),
        _Fault("throttled by heat, 0.25 s", _throttled("thermal", 0.25), "0.250 s (thermal)"),
        _Fault("throttled by the board limit, 1 ms", _throttled("board", 0.001), "0.001 s (board limit)"),
        _Fault("throttled for reliability, 1 s", _throttled("reliability", 1.0), "1.000 s (reliability)"),
        _Fault("throttled by sync boost, 1 s", _throttled("sync", 1.0), "1.000 s (sync boost)"),
        _Fault("held by the power limit, 1 s", _throttled("power", 1.0), "power limit held", "valid"),
        _Fault("SwPowerCap for 3 s", _briefly(4), "SwPowerCap at", "valid"),
        _Fault("HwSlowdown for 3 s", _briefly(8), "(HwSlowdown)"),
        _Fault("SwThermalSlowdown for 3 s", _briefly(32), "(SwThermalSlowdown)"),
        _Fault("HwThermalSlowdown for 3 s", _briefly(64), "(HwThermalSlowdown)"),
        _Fault("HwPowerBrakeSlowdown for 3 s", _briefly(128), "(HwPowerBrakeSlowdown)"),
        _Fault("the clock falls by 2 % over the run", _slowing, "clock drifted by -1."),
        _Fault("10 degrees warmer over the run", _warming, "temperature still moved by +3."),
        _Fault("the power limit is lowered", _limited(2.0), "700 W -> 400 W."),
        _Fault("the power limit is lowered for 12 s", _limited(0.5), "700 W -> 400 W -> 700 W."),
        _Fault("MIG is switched on", once(0.5, lambda board: board.mig(True)), "during the run (mig)"),
        _Fault("power readings see one phase of the load only", _in_step, "its energy counter gives"),
    ]


def _in_step(board: Board, share: float) -> None:
    """Readings average the first quarter of each window, where this load is always low."""
    if share == 0.0:
        board.configure(duty_seconds=0.025, window_seconds=0.1)
        board.square(100.0, 300.0, 0.1)


def disturbances(seed: int = 0) -> list[Row]:
    """Runs in which one thing happens, and one in which nothing does.

    Args:
        seed: Draws the moments of the looks.
    """
    quiet = watched(_quiet, seed)
    calm = verdict(quiet)
    said = " ".join([calm.status, *calm.reasons])
    found = [Row("false alarm", "nothing injected", "valid, nothing to say", said, said == "valid")]
    for fault in _faults():
        judged = verdict(watched(fault.disturb, seed))
        found.append(judged_row("disturbance", fault.words, fault.status, fault.says, judged))
    hidden = watched(_tenants(0.0, [ANOTHER, ANOTHER + 1], []), seed, Tenants(True, True))
    words = "two unknown processes in a container, one of them ours"
    return [*found, judged_row("disturbance", words, "suspect", "1 other", verdict(hidden)), *_claims(quiet)]


def _claims(quiet: BoardReport) -> list[Row]:
    """What is wrong with the figure itself."""
    elsewhere = "GPU-ffffffff-0000-4000-8000-000000000000"
    sliced = watched(lambda board, share: board.mig(True))
    replay = MeterInfo("replay", "measured", "gpu")
    apart = Agreement(
        own_joules=100.0, codecarbon_joules=108.0, relative_difference=0.08, doubt_fraction=0.01
    )
    cases = [
        ("the joules of another board", "invalid", "but the calls ran on", quiet, {"worked_on": [elsewhere]}),
        ("MIG slices, not labelled", "invalid", "does not say so", sliced, {}),
        ("a replayed recording", "invalid", "replayed", quiet, {"info": replay, "worked_on": []}),
        ("CodeCarbon 8 % off", "suspect", "+8.0%", quiet, {"agreement": apart}),
    ]
    return [
        judged_row("claim", words, status, says, verdict(report, **changes))
        for words, status, says, report, changes in cases
    ]


def resets(seed: int = 0) -> list[Row]:
    """The energy counter starts again: for the meter an error, for the verdict a doubt or the end.

    Args:
        seed: Draws the moments of the looks.
    """
    report = watched(once(0.5, lambda board: board.reset_counter()), seed)
    first = verdict(report, trials=trials([None, *[2.0] * 9]))
    second = verdict(report, trials=trials([*[2.0] * 3, *[None] * 7]))
    name = "counter reset"
    return [
        _meter_row(),
        judged_row(name, "one trial of ten lost", "suspect", "counter fell once", first),
        judged_row(name, "seven trials of ten lost", "invalid", "3 of 10 trials", second),
    ]


def _meter_row() -> Row:
    with Simulator.start(boards=1) as machine:
        machine.board(0).power(250.0)
        machine.board(0).configure(update_seconds=0.01)
        meter = NvmlMeter(machine.board(0).uuid)
        try:
            meter.read()
            machine.board(0).reset_counter()
            said = f"a reading of {meter.read()} J"
            met = False
        except MeasurementError as error:
            said, met = f"error: {error.happened} {error.seen}", "backwards" in error.happened
        finally:
            meter.close()
    return Row("counter reset", "between two readings of the meter", "an error", said, met)


def selections() -> list[Row]:
    """Every form of device selection."""
    found = []
    for form in FORMS:
        got = try_form(form)
        bar = "an error" if isinstance(form.boards, str) else f"board {', '.join(map(str, form.boards))}"
        error = got.error.splitlines()
        shown = ", ".join(got.uuids) or f"error: {' '.join(error[:2])}"
        found.append(Row("device selection", f"{form.words}: {form}", bar, shown, got.right))
    return found

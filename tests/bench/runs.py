"""Runs of two minutes of virtual time on a simulated board, watched and judged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from greenadapt.auditing.validity import judge
from greenadapt.boards import BoardReport, Watch
from greenadapt.boards.tenants import Tenants
from greenadapt.interfaces import MeterInfo
from greenadapt.profile import Plan, Trial, Validity
from tests.simulator import Board, Simulator

LOOKS, _BETWEEN_SECONDS = 240, 0.5
_FIRST_CLOCK, _SECOND_CLOCK = 1755.0, 1620.0
ANOTHER = 4_000_000
"""Number of a process that is not there: the system's own end well below it."""


@dataclass(frozen=True)
class Row:
    """One thing injected; the fields are those of a row of the benchmark's page.

    Attributes:
        name: The kind.
        condition: What was injected.
        bar: What has to be said, or done.
        shown: What was said, or done.
        met: Whether it was.
        n: How many runs it stands for.
    """

    name: str
    condition: str
    bar: str
    shown: str
    met: bool
    n: int = 1


def clock_of(look: int) -> float:
    """The clock at a look, of the network that then runs."""
    return _FIRST_CLOCK if look // 20 % 2 else _SECOND_CLOCK


def watched(
    disturb: Callable[[Board, float], None], seed: int = 0, tenants: Tenants | None = None
) -> BoardReport:
    """What a watch reports on two minutes in which two networks alternate, each with a clock of its own.

    Args:
        disturb: Called before every look with the board and the share of the run that is over.
        seed: Draws the moments.
        tenants: Which processes are ours; by default found out.
    """
    moments = random.Random(seed)
    with Simulator.start(boards=1, virtual=True) as machine:
        board = machine.board(0)
        board.power(250.0)
        board.processes([os.getpid()])
        watch = Watch([board.uuid], every_seconds=0, now=machine.now, tenants=tenants)
        machine.advance(1.0)
        disturb(board, 0.0)
        with watch:
            for look in range(LOOKS):
                watch.running = "first" if look // 20 % 2 else "second"
                board.clock(clock_of(look))
                disturb(board, look / LOOKS)
                machine.advance(_BETWEEN_SECONDS * moments.uniform(0.5, 1.5))
                watch.look()
        return watch.reports()[0]


def verdict(report: BoardReport, **changes: object) -> Validity:
    """How a run of ten like trials on the board of the report is judged."""
    settings: dict[str, object] = {
        "plan": Plan(),
        "trials": trials([2.0] * 10),
        "info": MeterInfo("nvml", "measured", "gpu", board=report.uuid),
        "failures": [],
        "others_cores": None,
        "weights": "pretrained",
        "data": "real",
        "reports": [report],
        "worked_on": [report.uuid],
    }
    return judge(**(settings | changes))  # type: ignore[arg-type]


def trials(joules: Iterable[float | None]) -> list[Trial]:
    """Counted trials with these energies, after a discarded one."""
    return [
        Trial(
            block=block,
            order=block,
            started_seconds=6.0 * block,
            seconds=5.0,
            calls=100,
            inferences=100,
            joules=energy,
            discarded=block == 0,
        )
        for block, energy in enumerate([None, *joules])
    ]


def judged_row(name: str, condition: str, status: str, sentence: str, judged: Validity) -> Row:
    """A row on a verdict: it must have that status, and that sentence as a reason."""
    said = next((reason for reason in judged.reasons if sentence in reason), " ".join(judged.reasons))
    met = judged.status == status and any(sentence in reason for reason in judged.reasons)
    return Row(name, condition, status, f"{judged.status}: {said}", met)


def once(share: float, act: Callable[[Board], None]) -> Callable[[Board, float], None]:
    """Does something at the first look after that share of the run."""
    done = []

    def disturb(board: Board, over: float) -> None:
        if over >= share and not done:
            done.append(over)
            act(board)

    return disturb

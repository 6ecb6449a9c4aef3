"""Each NVIDIA board: whether it counts its energy, what disturbs it right now, how it is set."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Thread
from typing import Any

from greenadapt.boards import start_nvml
from greenadapt.boards.library import ask, text, told
from greenadapt.boards.questions import EVERY_LOOK, ONCE, Answers
from greenadapt.boards.report import REASONS
from greenadapt.boards.tenants import Tenants
from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter

COUNTER, INTEGRATED = "counter", "integrated power"
_READINGS = 21
_PATIENCE_SECONDS = 8.0


@dataclass(frozen=True)
class BoardFinding:
    """One board; what is not known is None.

    Attributes:
        number: NVML's.
        uuid: "GPU-...".
        name: The product's.
        meter: What is read: its `COUNTER`, or `INTEGRATED` power on a board without one.
        why_not: Why its energy cannot be measured, and what to do.
        period_seconds: How often the counter moves, as found under the load of the moment.
        read_seconds: What one reading costs, the median of some.
        watts: Power at the moment.
        busy: Share of the last second in which it computed.
        celsius: Temperature at the moment.
        sm_clock_mhz: Clock of the multiprocessors at the moment.
        reasons: What holds its clock down at the moment, by NVML's names.
        other_processes: Processes of others on it, computing or drawing.
        power_limit_watts: In force.
        persistence: Whether the driver keeps it awake.
        ecc: Whether its memory corrects errors.
        mig: Whether it is cut into slices.
        not_told: What NVML says that it cannot tell.
        problems: Questions that failed.
    """

    number: int
    uuid: str | None = None
    name: str | None = None
    meter: str | None = None
    why_not: str | None = None
    period_seconds: float | None = None
    read_seconds: float | None = None
    watts: float | None = None
    busy: float | None = None
    celsius: float | None = None
    sm_clock_mhz: float | None = None
    reasons: tuple[str, ...] = ()
    other_processes: int | None = None
    power_limit_watts: float | None = None
    persistence: bool | None = None
    ecc: bool | None = None
    mig: bool | None = None
    not_told: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Boards:
    """All boards of the machine.

    Attributes:
        driver: Its version; None where there is none.
        why_not: Why there are none, and what to do.
        found: The boards, in NVML's order.
    """

    driver: str | None = None
    why_not: str | None = None
    found: list[BoardFinding] = field(default_factory=list)


def look_at_boards() -> Boards:
    """Looks at all boards at once, for some seconds at most."""
    try:
        library = start_nvml()
    except MeasurementError as error:
        return Boards(why_not=_lines(error))
    driver = text(ask(library, library.nvmlSystemGetDriverVersion))
    try:
        count = int(told(library, "how many boards there are", library.nvmlDeviceGetCount))
    except MeasurementError as error:
        return Boards(driver, _lines(error))
    end = time.perf_counter() + _PATIENCE_SECONDS
    asked = [_aside(partial(_board, library, number)) for number in range(count)]
    found = [_answer(number, each, end) for number, each in enumerate(asked)]
    # A board that never answers is still being asked: then the library stays open.
    if all(each.done() for each in asked):
        ask(library, library.nvmlShutdown)
    return Boards(driver, None if found else "NVML lists no board. Run nvidia-smi to see why.", found)


def _aside(question: Callable[[], BoardFinding]) -> Future[BoardFinding]:
    """An answer to come, from a thread that the program does not wait for when it ends."""
    answer: Future[BoardFinding] = Future()

    def work() -> None:
        try:
            answer.set_result(question())
        except Exception as error:  # told to whoever asks for the result
            answer.set_exception(error)

    Thread(target=work, daemon=True, name="greenadapt-doctor-board").start()
    return answer


def _answer(number: int, waiting: Future[BoardFinding], end: float) -> BoardFinding:
    try:
        return waiting.result(max(0.0, end - time.perf_counter()))
    except TimeoutError:
        seen = f"No answer within {_PATIENCE_SECONDS:g} s. Run nvidia-smi: if that hangs too, restart."
    except MeasurementError as error:
        seen = _lines(error)
    except Exception as error:  # one board's failure leaves the others' findings alone
        seen = f"{type(error).__name__}: {error}"
    return BoardFinding(number, why_not=seen)


def _board(library: Any, number: int) -> BoardFinding:
    handle = told(library, f"what board {number} is", library.nvmlDeviceGetHandleByIndex, number)
    uuid = text(told(library, f"the UUID of board {number}", library.nvmlDeviceGetUUID, handle))
    asked = Answers(library, handle)
    state = asked.ask(EVERY_LOOK, 0.0) | asked.ask(ONCE, 0.0)
    usage = ask(library, library.nvmlDeviceGetUtilizationRates, handle)
    crowd = state.get("compute", frozenset()) | state.get("graphics", frozenset())
    return BoardFinding(
        number=number,
        uuid=uuid,
        name=text(ask(library, library.nvmlDeviceGetName, handle)),
        watts=state.get("power"),
        busy=usage.gpu / 100 if usage is not None else None,
        celsius=state.get("temperature"),
        sm_clock_mhz=state.get("clock"),
        reasons=tuple(name for bit, name in REASONS.items() if state.get("reasons", 0) & bit),
        other_processes=Tenants().others(crowd) if "compute" in state else None,
        power_limit_watts=state.get("limit"),
        persistence=state.get("persistence"),
        ecc=state.get("ecc"),
        mig=state.get("mig"),
        not_told=asked.not_told,
        problems=asked.problems,
        **_counter(uuid),
    )


def _counter(uuid: str) -> dict[str, Any]:
    from greenadapt.meters.nvml import factory

    try:
        meter = factory.open(uuid)
    except MeasurementError as error:
        return {"why_not": _lines(error)}
    try:
        return {
            "meter": INTEGRATED if INTEGRATED in meter.info.note else COUNTER,
            "period_seconds": meter.info.period_seconds,
            "read_seconds": _cost(meter),
        }
    except MeasurementError as error:
        return {"why_not": _lines(error)}
    finally:
        meter.close()


def _cost(meter: Meter) -> float:
    costs = []
    for _ in range(_READINGS):
        start = time.perf_counter()
        meter.read()
        costs.append(time.perf_counter() - start)
    return statistics.median(costs)


def _lines(error: MeasurementError) -> str:
    return f"{error.happened} {error.seen} {error.todo}".strip()

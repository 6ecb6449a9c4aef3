"""What the answers of a board come to, after a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

from greenadapt.boards.questions import POLICIES, Answers, Look
from greenadapt.boards.tenants import Tenants
from greenadapt.boards.trends import Powers, drift, motion, powers

_IDLE = 1
REASONS = {
    _IDLE: "GpuIdle",
    2: "ApplicationsClocksSetting",
    4: "SwPowerCap",
    8: "HwSlowdown",
    16: "SyncBoost",
    32: "SwThermalSlowdown",
    64: "HwThermalSlowdown",
    128: "HwPowerBrakeSlowdown",
    256: "DisplayClockSetting",
}
"""NVML's clock event reasons by bit."""


@dataclass(frozen=True)
class BoardReport:
    """One board during the trials; what is not known is None or missing, never zero.

    Attributes:
        uuid: The board.
        looks: How often it was asked.
        seconds: From the first look to the last.
        other_processes: The most others, computing or drawing, at one look; see `Tenants`.
        other_looks: At how many looks there were any.
        violations: Seconds for which each policy held the clock down, by name (`POLICIES`).
        reasons: At how many looks each clock event reason was given, by NVML's name.
        sm_clock_mhz: Mean clock of the multiprocessors at work.
        clock_drift: Its relative change from the first third of the time to the last.
        temperature_first: Degrees Celsius at the first look.
        temperature_last: At the last.
        temperature_motion: Degrees from the first to the last third of the second half of the time.
        power_limits: The limit in force in watts, and every change of it, in order.
        powers: Mean power by polling and by the counter.
        counter_resets: How often the energy counter fell between two looks.
        ecc: Whether memory corrects its errors.
        persistence: Whether the driver keeps the board awake.
        mig: Whether it is cut into MIG slices.
        compute_mode: NVML's number: 0 is default, 3 is exclusive.
        not_told: What NVML says that it cannot tell of this board.
        problems: A sentence for each kind of failure of NVML.
    """

    uuid: str
    looks: int = 0
    seconds: float = 0.0
    other_processes: int | None = None
    other_looks: int = 0
    violations: Mapping[str, float] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    sm_clock_mhz: float | None = None
    clock_drift: float | None = None
    temperature_first: float | None = None
    temperature_last: float | None = None
    temperature_motion: float | None = None
    power_limits: tuple[float, ...] = ()
    powers: Powers | None = None
    counter_resets: int | None = None
    ecc: bool | None = None
    persistence: bool | None = None
    mig: bool | None = None
    compute_mode: int | None = None
    not_told: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def report_of(
    uuid: str, looks: Sequence[Look], settings: Mapping[str, Any], answers: Answers, tenants: Tenants
) -> BoardReport:
    """The report on one board.

    Args:
        uuid: The board.
        looks: All looks, in order.
        settings: The answers to `ONCE`.
        answers: Who asked.
        tenants: Whose processes are ours.
    """
    temperatures = _series(looks, "temperature")
    clock, clock_drift = _clock(looks)
    crowd = [tenants.others(_pids(look)) for look in looks if "compute" in look.answers]
    others = [count for count in crowd if count is not None]
    hidden = ("other processes: its list leaves out even us",) if crowd and not others else ()
    energies = _series(looks, "energy")[1]
    return BoardReport(
        uuid=uuid,
        looks=len(looks),
        seconds=looks[-1].seconds - looks[0].seconds if looks else 0.0,
        other_processes=max(others, default=None),
        other_looks=sum(count > 0 for count in others),
        violations=_violations(looks),
        reasons=_reasons(looks),
        sm_clock_mhz=clock,
        clock_drift=clock_drift,
        temperature_first=temperatures[1][0] if temperatures[1] else None,
        temperature_last=temperatures[1][-1] if temperatures[1] else None,
        temperature_motion=motion(*temperatures),
        power_limits=tuple(limit for limit, _ in groupby(_series(looks, "limit")[1])),
        powers=_powers(looks),
        counter_resets=sum(b < a for a, b in pairwise(energies)) if energies else None,
        ecc=settings.get("ecc"),
        persistence=settings.get("persistence"),
        mig=settings.get("mig"),
        compute_mode=settings.get("mode"),
        not_told=(*answers.not_told, *hidden),
        problems=answers.problems,
    )


def _pids(look: Look) -> frozenset[int]:
    drawing: frozenset[int] = look.answers.get("graphics", frozenset())
    computing: frozenset[int] = look.answers["compute"]
    return computing | drawing


def _series(looks: Sequence[Look], key: str) -> tuple[list[float], list[float]]:
    told = [(look.seconds, look.answers[key]) for look in looks if key in look.answers]
    return [moment for moment, _ in told], [value for _, value in told]


def _clock(looks: Sequence[Look]) -> tuple[float | None, float | None]:
    # The first and the last look are before and after the work; between the trials the board may idle.
    named = any(look.running is not None for look in looks)
    busy = [
        look
        for look in looks[1:-1]
        if "clock" in look.answers
        and not look.answers.get("reasons", 0) & _IDLE
        and (look.running is not None or not named)
    ]
    if not busy:
        return None, None
    clocks = [look.answers["clock"] for look in busy]
    change = drift([look.seconds for look in busy], clocks, [look.running for look in busy])
    return fmean(clocks), change


def _violations(looks: Sequence[Look]) -> dict[str, float]:
    found = {}
    for name in POLICIES:
        counts = _series(looks, f"violation {name}")[1]
        if len(counts) > 1:
            # A counter that falls was reset; what it counted before stays counted.
            found[name] = sum(max(0.0, b - a) for a, b in pairwise(counts))
    return found


def _reasons(looks: Sequence[Look]) -> dict[str, int]:
    masks = [look.answers["reasons"] for look in looks if "reasons" in look.answers]
    seen = {name: sum(bool(mask & bit) for mask in masks) for bit, name in REASONS.items()}
    return {name: count for name, count in seen.items() if count}


def _powers(looks: Sequence[Look]) -> Powers | None:
    both = [look for look in looks[1:-1] if "power" in look.answers and "energy" in look.answers]
    return powers(
        [look.seconds for look in both],
        [look.answers["power"] for look in both],
        [look.answers["energy"] for look in both],
    )

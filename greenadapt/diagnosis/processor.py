"""The processor's energy counters: which there are, and which of them this user may read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from greenadapt.meters.powercap import POWERCAP, find_domains
from greenadapt.meters.rapl import Commands, RaplFactory, commands, denied


@dataclass(frozen=True)
class DomainFinding:
    """One counter that would be added.

    Attributes:
        name: Such as "package-0".
        file: Where it is.
        readable: Whether this user may read it.
        round_seconds: How soon it may start again; None where that is not known.
    """

    name: str
    file: str
    readable: bool
    round_seconds: float | None


@dataclass(frozen=True)
class ProcessorFinding:
    """The counters.

    Attributes:
        domains: Those that together cover the processors once.
        why_not: Why they cannot be read, and what to do.
        open_now: The command that opens them until the next restart; None where nothing is denied.
        open_for_good: The command that opens them from now on.
    """

    domains: list[DomainFinding] = field(default_factory=list)
    why_not: str | None = None
    open_now: str | None = None
    open_for_good: str | None = None


def look_at_processor(powercap: Path = POWERCAP) -> ProcessorFinding:
    """Lists the counters and tries to read them.

    Args:
        powercap: Where Linux shows them.
    """
    try:
        domains = find_domains(powercap)
    except (OSError, ValueError) as error:
        return ProcessorFinding(why_not=f"{powercap} cannot be read: {error}.")
    closed = denied(domains)
    ways: Commands | None = commands(closed) if closed else None
    return ProcessorFinding(
        domains=[
            DomainFinding(
                domain.name,
                str(domain.counter),
                domain.counter not in closed,
                domain.round_seconds if domain.range_microjoules is not None else None,
            )
            for domain in domains
        ],
        why_not=RaplFactory(powercap).why_not("cpu"),
        open_now=ways.now if ways else None,
        open_for_good=ways.for_good if ways else None,
    )

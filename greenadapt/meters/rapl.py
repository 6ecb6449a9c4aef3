"""The processor's own energy counters, as Linux shows them under /sys/class/powercap (Intel and AMD).

    intel-rapl:0          package-0     counted
    intel-rapl:0:0          core        part of the package: left out
    intel-rapl:0:1          dram        beside the package: counted
    intel-rapl:1          psys          the whole platform, packages included: only where it stands alone
    intel-rapl-mmio:0     package-0     the same counter by another road: left out

Each counter starts again at zero after `max_energy_range_uj`; the meter adds that up, provided that it
is read at least once a round (minutes at least, on all known processors).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.units import joules_from_microjoules

POWERCAP = Path("/sys/class/powercap")
_UPDATE_SECONDS = 0.001
_DIE = re.compile(r"(package-\d+)-die-\d+")


@dataclass
class Domain:
    """One counter: where it is, where it stood, and what it counted before it last started again."""

    name: str
    folder: Path
    range_microjoules: int
    last_microjoules: int = 0
    past_microjoules: int = 0

    @property
    def counter(self) -> Path:
        """The file with the count, in microjoules."""
        return self.folder / "energy_uj"

    def read(self) -> int:
        """Microjoules counted, rounds added up."""
        now = int(self.counter.read_text())
        if now < self.last_microjoules:
            self.past_microjoules += self.range_microjoules
        self.last_microjoules = now
        return self.past_microjoules + now


def find_domains(powercap: Path = POWERCAP) -> list[Domain]:
    """The counters that together cover the processors once: packages and memory, or else psys alone.

    Args:
        powercap: Where Linux shows them.

    Returns:
        Nothing where there are none, as in most virtual machines.
    """
    found = [
        _domain(folder) for folder in sorted(powercap.glob("intel-rapl:*")) if (folder / "name").exists()
    ]
    packages = [domain for domain in found if domain.name.startswith("package")]
    if not packages:
        return [domain for domain in found if domain.name == "psys"][:1]
    split = {match.group(1) for domain in packages if (match := _DIE.fullmatch(domain.name))}
    whole = [domain for domain in packages if domain.name not in split]
    return whole + [domain for domain in found if domain.name == "dram"]


def _domain(folder: Path) -> Domain:
    return Domain(
        name=(folder / "name").read_text().strip(),
        folder=folder,
        range_microjoules=int((folder / "max_energy_range_uj").read_text()),
    )


def _scope(domains: Sequence[Domain]) -> str:
    names = {domain.name for domain in domains}
    if "psys" in names:
        return "machine"
    return "cpu package and memory" if "dram" in names else "cpu package"


class RaplMeter:
    """The sum of the processor's counters; see `greenadapt.interfaces.Meter`.

    Args:
        powercap: Where Linux shows them.

    Raises:
        MeasurementError: There are none, or this user may not read them.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        reason = _why_not(powercap)
        if reason is not None:
            raise MeasurementError("The processor's energy counters cannot be read.", *reason)
        self._domains: list[Domain] | None = find_domains(powercap)
        names = ", ".join(domain.name for domain in self._domains)
        self.info = MeterInfo(
            "rapl", "measured", _scope(self._domains), _UPDATE_SECONDS, note=f"counters: {names}"
        )
        self._last = self.read()

    def read(self) -> float:
        """Joules of all counters together.

        Raises:
            MeasurementError: A counter cannot be read any more, or the meter is closed.
        """
        if self._domains is None:
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        try:
            return joules_from_microjoules(sum(domain.read() for domain in self._domains))
        except (OSError, ValueError) as error:
            raise MeasurementError(
                "The processor's energy counters cannot be read any more.",
                f"The system says: {error}.",
                "Check the permissions of the counters, and measure again.",
            ) from error

    def close(self) -> None:
        """Forgets the counters."""
        self._domains = None


def _why_not(powercap: Path) -> tuple[str, str] | None:
    try:
        domains = find_domains(powercap)
    except (OSError, ValueError) as error:
        return f"{powercap} cannot be read: {error}.", "Use --meter codecarbon, whose figure is an estimate."
    if not domains:
        return (
            f"There are none under {powercap}; most virtual machines and containers have none.",
            "Run on the bare machine, or use --meter codecarbon, whose figure is an estimate.",
        )
    denied = [domain.counter for domain in domains if not _readable(domain.counter)]
    if denied:
        files = " ".join(f"'{path}'" for path in denied)
        return (
            f"This user may not read {denied[0]}.",
            f"Until the next restart of the machine: sudo chmod a+r {files}",
        )
    return None


def _readable(path: Path) -> bool:
    try:
        int(path.read_text())
    except (OSError, ValueError):
        return False
    return True


class RaplFactory:
    """Opens the processor's counters; see `greenadapt.interfaces.MeterFactory`.

    Args:
        powercap: Where Linux shows them.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._powercap = powercap

    def why_not(self, device: str) -> str | None:
        """None if the counters can be read, else why not and what to do."""
        if device != "cpu":
            return f"rapl counts the processor, not {device}; use --meter nvml."
        reason = _why_not(self._powercap)
        return None if reason is None else " ".join(reason)

    def open(self, device: str) -> Meter:
        """Opens the counters of this machine's processors.

        Raises:
            MeasurementError: There are none, this user may not read them, or the device is no CPU.
        """
        if device != "cpu":
            raise MeasurementError(
                f"The energy of {device!r} cannot be measured with rapl.",
                "It counts the processor.",
                "Use --meter nvml for an NVIDIA board.",
            )
        return RaplMeter(self._powercap)


factory = RaplFactory()

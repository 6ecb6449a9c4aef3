"""The processor's energy counters as Linux shows them under /sys/class/powercap, and which of them to add.

    intel-rapl:0          package-0          counted
    intel-rapl:0:0          core             part of the package: left out
    intel-rapl:0:1          dram             beside the package: counted
    intel-rapl:1          package-1-die-0    counted, and not the package-1 that it is part of
    intel-rapl:2          package-1-die-1    counted, unless it shows the counter of die 0 again
    intel-rapl:3          psys               the whole platform, packages included: only where it stands alone
    intel-rapl-mmio:0     package-0          the same counter by another road: only where it is the only one

AMD's processors (family 17h and later) appear in the same places and names, without dram and psys; some of
several dies show one counter of the socket once per die.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from greenadapt.errors import MeasurementError
from greenadapt.units import joules_from_microjoules, watts_from_microwatts

POWERCAP = Path("/sys/class/powercap")
HIGHEST_WATTS = 1000.0
"""Above what any package draws; for counters whose own limit is not shown."""
_ROADS = ("intel-rapl:*", "intel-rapl-mmio:*")
_PART = re.compile(r"(package-\d+)-die-\d+")
_LOOKS, _PAUSE_SECONDS = 3, 0.005
_SLACK_SECONDS = 0.1


@dataclass
class Domain:
    """One counter: where it is, where it stood, and what it counted before it last started again.

    Attributes:
        name: As Linux calls it.
        folder: Where it is.
        range_microjoules: Where it starts again; None where the system does not tell.
        mirrors: Names of others that show the same counter and are left out.
    """

    name: str
    folder: Path
    range_microjoules: int | None
    mirrors: list[str] = field(default_factory=list)
    _last: tuple[float, int] | None = None
    _past_microjoules: int = 0

    @property
    def counter(self) -> Path:
        """The file with the count, in microjoules."""
        return self.folder / "energy_uj"

    @property
    def round_seconds(self) -> float:
        """How soon it may have gone round; infinity where that is not known."""
        if self.range_microjoules is None:
            return math.inf
        return joules_from_microjoules(self.range_microjoules) / self._highest_watts()

    def look(self) -> int:
        """What stands in the file."""
        return int(self.counter.read_text())

    def read(self, now: float) -> int:
        """Microjoules counted, rounds added up.

        Args:
            now: Seconds on a clock that is the same for all readings.

        Raises:
            MeasurementError: It went backwards and nobody knows from where, it moved by more than a
                processor can have used since the last reading (it was set back), or it may have gone round
                more than once. The next reading goes on from there.
        """
        count = self.look()
        before, self._last = self._last, (now, count)
        if before is None or count == before[1]:
            return self._past_microjoules + count
        gap, stood = now - before[0], before[1]
        if count < stood:
            self._past_microjoules += self._round_from(stood, count, gap)
        elif count - stood > self._most_microjoules(gap):
            raise self._moved_too_far(stood, count, gap)
        if gap > self.round_seconds:
            raise MeasurementError(
                f"The processor's counter {self.name} may have gone round unseen.",
                f"It was not read for {gap:.0f} s and can go round in {self.round_seconds:.0f} s.",
                "Measure again, with the program running all the time.",
            )
        return self._past_microjoules + count

    def _round_from(self, stood: int, count: int, gap: float) -> int:
        if self.range_microjoules is not None and stood <= self.range_microjoules:
            if self.range_microjoules - stood + count <= self._most_microjoules(gap):
                return self.range_microjoules
            self._past_microjoules += stood
            raise self._moved_too_far(stood, count, gap)
        self._past_microjoules += stood
        raise MeasurementError(
            f"The processor's counter {self.name} started again.",
            f"It fell from {stood} to {count} microjoules, and from where it starts again is not known.",
            "Measure again.",
        )

    def _most_microjoules(self, gap: float) -> float:
        """More than can have been used between two readings; limits that are set too low do not count."""
        return 1e6 * max(HIGHEST_WATTS, self._highest_watts()) * (gap + _SLACK_SECONDS)

    def _moved_too_far(self, stood: int, count: int, gap: float) -> MeasurementError:
        return MeasurementError(
            f"The processor's counter {self.name} was set back or jumped.",
            f"It went from {stood} to {count} microjoules in {gap:.3f} s: no processor uses that much.",
            "Measure again; suspending the machine or its virtual machine sets counters back.",
        )

    def _highest_watts(self) -> float:
        limits = [_number(path) for path in self.folder.glob("constraint_*_power_limit_uw")]
        known = [watts_from_microwatts(limit) for limit in limits if limit]
        # A limit holds on average; for a second or so a package may draw more.
        return 2 * max(known) if known else HIGHEST_WATTS


def standing_still(domains: Sequence[Domain], seconds: float) -> list[Domain]:
    """Those of the counters that do not move; they count nothing.

    Args:
        domains: The counters.
        seconds: How long to look at most; it ends as soon as all have moved.

    Raises:
        OSError: One of them cannot be read.
        ValueError: What one of them shows is no number.
    """
    first = [domain.look() for domain in domains]
    end = time.perf_counter() + seconds
    still = list(zip(domains, first, strict=True))
    while still and time.perf_counter() < end:
        time.sleep(_PAUSE_SECONDS)
        still = [(domain, stood) for domain, stood in still if domain.look() == stood]
    return [domain for domain, _ in still]


def find_domains(powercap: Path = POWERCAP) -> list[Domain]:
    """The counters that together cover the processors once: packages and memory, or else psys alone.

    Args:
        powercap: Where Linux shows them.

    Returns:
        Nothing where there are none, as in most virtual machines.

    Raises:
        OSError: They are there and cannot be listed.
    """
    psys: list[Domain] = []
    for road in _ROADS:
        found = [_domain(folder) for folder in sorted(powercap.glob(road)) if (folder / "name").exists()]
        packages = _once([domain for domain in found if domain.name.startswith("package")])
        if packages:
            return [*packages, *_memory(packages, found)]
        psys += [domain for domain in found if domain.name == "psys"]
    return psys[:1]


def _once(packages: Sequence[Domain]) -> list[Domain]:
    """The packages without those that others are parts of, and without repetitions."""
    split = {match.group(1) for domain in packages if (match := _PART.fullmatch(domain.name))}
    kept: list[Domain] = []
    for domain in packages:
        if domain.name in split:
            continue
        first = next((one for one in kept if _same_counter(one, domain)), None)
        if first is None:
            kept.append(domain)
        else:
            first.mirrors.append(domain.name)
    return kept


def _same_counter(one: Domain, other: Domain) -> bool:
    """Whether two files show one counter: then the second always stands between two looks at the first."""
    try:
        for look in range(_LOOKS):
            if look:
                time.sleep(_PAUSE_SECONDS)
            before, between, after = one.look(), other.look(), one.look()
            if between == 0 or not before <= between <= after:
                return False
    except (OSError, ValueError):
        return False  # which of them may be read is for the meter to say
    return True


def _memory(packages: Sequence[Domain], found: Sequence[Domain]) -> list[Domain]:
    """The memory of each socket once: that of its dies where they have it, else that of the socket."""
    memory = [domain for domain in found if domain.name == "dram"]
    names = {domain.folder.name: domain.name for domain in found}
    repeated = {name for package in packages for name in package.mirrors}
    of_parts = [each for each in memory if _parent_name(each, names) in {domain.name for domain in packages}]
    sockets = {_socket(_parent_name(each, names)) for each in of_parts}
    others = [
        each
        for each in memory
        if each not in of_parts
        and _parent_name(each, names) not in repeated
        and _socket(_parent_name(each, names)) not in sockets
    ]
    return [*of_parts, *others]


def _parent_name(domain: Domain, names: dict[str, str]) -> str:
    return names.get(domain.folder.name.rpartition(":")[0], "")


def _socket(package: str) -> str:
    match = _PART.fullmatch(package)
    return match.group(1) if match else package


def _domain(folder: Path) -> Domain:
    span = _number(folder / "max_energy_range_uj")
    return Domain((folder / "name").read_text().strip(), folder, span or None)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None

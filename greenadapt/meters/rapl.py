"""The processor's own energy counters (RAPL; Intel and AMD), read where Linux shows them.

`greenadapt.meters.powercap` knows which of them to add. Each starts again at zero after some minutes of hard
work; a thread of the meter's reads them often enough to see every round, and where it could not (the
process was stopped), the next reading is an error. Since 2020 only root may read the counters, which were
precise enough to spy on other programs (CVE-2020-8694); `commands` says how whoever administers the
machine opens them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from greenadapt.errors import MeasurementError
from greenadapt.interfaces import Meter, MeterInfo
from greenadapt.meters.clocks import REAL, Clock
from greenadapt.meters.powercap import POWERCAP, Domain, find_domains, standing_still
from greenadapt.units import joules_from_microjoules

_UPDATE_SECONDS = 0.001
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.01, 60.0
_READINGS_PER_ROUND = 4
_LOOK_SECONDS = 0.25
"""A counter that did not move for so many of its updates does not count."""
_PATIENCE_SECONDS = 5.0
_RULE = 'SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*", RUN+="/bin/chmod a+r %S%p/energy_uj"'
_RULE_FILE = "/etc/udev/rules.d/70-energy-counters.rules"


@dataclass(frozen=True)
class Commands:
    """How to open counters for every user of the machine.

    Attributes:
        now: Until the next restart of the machine.
        for_good: From now on, by a rule of udev.
    """

    now: str
    for_good: str


def commands(denied: Sequence[Path]) -> Commands:
    """What whoever administers the machine has to run.

    Args:
        denied: The counters that may not be read.
    """
    files = " ".join(f"'{path}'" for path in denied)
    return Commands(
        now=f"sudo chmod a+r {files}",
        for_good=(
            f"echo '{_RULE}' | sudo tee {_RULE_FILE} && sudo udevadm control --reload && "
            "sudo udevadm trigger --action=add --subsystem-match=powercap"
        ),
    )


def denied(domains: Sequence[Domain]) -> list[Path]:
    """The counters that are there and that this user may not read."""
    return [domain.counter for domain in domains if isinstance(_trouble(domain), PermissionError)]


class RaplMeter:
    """The sum of the processor's counters; see `greenadapt.interfaces.Meter`.

    Args:
        powercap: Where Linux shows them.
        clock: Tells how long a counter was not read.
        look_seconds: How long to wait at most until each counter has moved; 0 takes them as they are.

    Raises:
        MeasurementError: There are none, this user may not read them, or one of them stands still; memory
            that stands still is named in `info.note` and not in `info.scope`.
    """

    def __init__(
        self, powercap: Path = POWERCAP, clock: Clock = REAL, look_seconds: float = _LOOK_SECONDS
    ) -> None:
        reason = _why_not(powercap)
        if reason is not None:
            raise MeasurementError("The processor's energy counters cannot be read.", *reason)
        self._clock = clock
        found = find_domains(powercap)
        still = _standing_still(found, look_seconds)
        self._domains: list[Domain] | None = [domain for domain in found if domain not in still]
        self._lock = threading.Lock()
        self._unseen: MeasurementError | None = None
        self.info = MeterInfo(
            "rapl",
            "measured",
            _scope(self._domains),
            _UPDATE_SECONDS,
            note=f"counters: {_listed(self._domains)}{f'; not moving: {_listed(still)}' if still else ''}",
        )
        self.read()
        self._closed = threading.Event()
        self._keeper = threading.Thread(
            target=self._keep, args=(_pause(self._domains),), name="greenadapt-rapl", daemon=True
        )
        self._keeper.start()

    def read(self) -> float:
        """Joules of all counters together.

        Raises:
            MeasurementError: A counter cannot be read any more, it started again from who knows where, it may
                have gone round unseen, or the meter is closed.
        """
        with self._lock:
            if self._unseen is not None:
                error, self._unseen = self._unseen, None
                raise error
            return self._sum()

    def close(self) -> None:
        """Forgets the counters."""
        self._closed.set()
        self._keeper.join(_PATIENCE_SECONDS)
        self._domains = None

    def _sum(self) -> float:
        if self._domains is None:
            raise MeasurementError("The meter is closed.", "It was read after close().", "Open it again.")
        try:
            now = self._clock.now()
            return joules_from_microjoules(sum(domain.read(now) for domain in self._domains))
        except (OSError, ValueError) as error:
            raise MeasurementError(
                "The processor's energy counters cannot be read any more.",
                f"The system says: {error}.",
                "Check the permissions of the counters, and measure again.",
            ) from error

    def _keep(self, pause_seconds: float) -> None:
        """Reads so often that no round goes unseen; what goes wrong is for the next reading to say."""
        while not self._closed.wait(pause_seconds):
            with self._lock:
                try:
                    self._sum()
                except MeasurementError as error:
                    self._unseen = self._unseen or error


def _pause(domains: Sequence[Domain]) -> float:
    shortest = min(domain.round_seconds for domain in domains)
    return min(_LONGEST_PAUSE_SECONDS, max(_SHORTEST_PAUSE_SECONDS, shortest / _READINGS_PER_ROUND))


def _standing_still(domains: Sequence[Domain], seconds: float) -> list[Domain]:
    """Memory whose counters do not move.

    Raises:
        MeasurementError: Another counter does not move, so that what it should count would be missing.
    """
    if seconds <= 0:
        return []
    try:
        still = standing_still(domains, seconds)
    except (OSError, ValueError) as error:
        raise MeasurementError(
            "The processor's energy counters cannot be read.", f"The system says: {error}.", "Try again."
        ) from error
    frozen = [domain for domain in still if domain.name != "dram"]
    if frozen:
        raise MeasurementError(
            "The processor's energy counters do not move.",
            f"{_listed(frozen)} stood still for {seconds:.2f} s.",
            "Some virtual machines show such counters; use --meter codecarbon, whose figure is an estimate.",
        )
    return still


def _scope(domains: Sequence[Domain]) -> str:
    names = {domain.name for domain in domains}
    if "psys" in names:
        return "machine"
    return "cpu package and memory" if "dram" in names else "cpu package"


def _listed(domains: Sequence[Domain]) -> str:
    return ", ".join(
        f"{domain.name} (shown again as {', '.join(domain.mirrors)})" if domain.mirrors else domain.name
        for domain in domains
    )


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
    closed = denied(domains)
    if closed:
        ways = commands(closed)
        return (
            f"This user may not read {closed[0]}{' and others' if len(closed) > 1 else ''}.",
            f"Until the next restart: {ways.now}; for good: {ways.for_good}",
        )
    troubles = [(domain, trouble) for domain in domains if (trouble := _trouble(domain)) is not None]
    if troubles:
        domain, trouble = troubles[0]
        return f"{domain.counter} cannot be read: {trouble}.", "Load the kernel's module intel_rapl_msr anew."
    return None


def _trouble(domain: Domain) -> Exception | None:
    try:
        domain.look()
    except (OSError, ValueError) as error:
        return error
    return None


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

"""Where an audit runs: processor, boards, versions, and the conditions that a number depends on.

resolve_device("auto")   "cuda:0" if torch can use a board, else "cpu"
describe_machine()       the hardware and the versions, for `Profile.machine`
describe_conditions()    what the numbers depend on, for `Profile.conditions`
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import greenadapt
from greenadapt.boards import all_board_facts, board_facts, boards_of, nvml, open_uuid
from greenadapt.errors import MeasurementError, OptionError
from greenadapt.profile import Conditions, Machine, Plan

if TYPE_CHECKING:
    import torch

_CPUINFO = Path("/proc/cpuinfo")
_STAT = Path("/proc/stat")


def resolve_device(device: str = "auto") -> str:
    """The torch device that is meant, spelt out: "cuda:0", not "cuda".

    Args:
        device: A torch device, or "auto": the first CUDA device if there is one, else the CPU.

    Raises:
        OptionError: It is no device of torch, or torch cannot use it here.
    """
    import torch

    if device == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise OptionError(
            f"{device!r} is not a device.",
            f"torch says: {str(error).splitlines()[0]}",
            "Use auto, cpu, cuda or cuda:0.",
        ) from error
    if found.type == "cuda":
        return f"cuda:{_usable_board(found)}"
    return str(found)


def _usable_board(device: torch.device) -> int:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index if device.index is not None else (torch.cuda.current_device() if count else 0)
    if index >= count:
        raise OptionError(
            f"The device cuda:{index} cannot be used.",
            f"torch sees {count} CUDA boards"
            + (f"; CUDA_VISIBLE_DEVICES is {os.environ['CUDA_VISIBLE_DEVICES']!r}." if _hidden() else "."),
            f"Use {'cuda:0 to cuda:' + str(count - 1) if count else 'the device cpu'}, or auto.",
        )
    return index


def _hidden() -> bool:
    return "CUDA_VISIBLE_DEVICES" in os.environ


def device_name(device: str) -> str:
    """Name of the processor or board behind a torch device."""
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else cpu_name()


def cpu_name() -> str:
    """The processor's name, as good as the system tells it."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model"):
                return value.strip()
    return platform.processor() or platform.machine() or "unknown processor"


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int | None:
    """Size of the main memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None


@dataclass(frozen=True)
class ProcessorTime:
    """How long the processor was busy, at one moment.

    Attributes:
        now: The moment, in seconds.
        busy: Seconds of all cores together since the start of the machine.
        own: Seconds of this process and its finished children.
    """

    now: float
    busy: float
    own: float


def processor_time() -> ProcessorTime | None:
    """How long the processor was busy so far; None where the system does not tell (it is Linux that does)."""
    try:
        first_line = _STAT.read_text().split("\n", 1)[0].split()
        user, nice, system, _idle, _iowait, *interrupts = (int(field) for field in first_line[1:9])
    except (OSError, ValueError):
        return None
    busy = (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return ProcessorTime(now=time.perf_counter(), busy=busy, own=sum(os.times()[:4]))


def cores_of_others(before: ProcessorTime | None, after: ProcessorTime | None) -> float | None:
    """How many cores all other programs together kept busy, on average; None if unknown."""
    if before is None or after is None or after.now <= before.now:
        return None
    others = (after.busy - before.busy) - (after.own - before.own)
    return max(0.0, others) / (after.now - before.now)


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def describe_machine() -> Machine:
    """The hardware and the versions of this machine; imports no torch."""
    return Machine(
        cpu=cpu_name(),
        cores=usable_cores(),
        memory_bytes=memory_bytes(),
        os=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=installed_version("torch") or "unknown",
        timm=installed_version("timm") or "unknown",
        greenadapt=greenadapt.__version__,
        codecarbon=installed_version("codecarbon"),
        gpus=all_board_facts(),
    )


def describe_conditions(
    plan: Plan,
    device: str,
    input_shape: tuple[int, int, int],
    data: Literal["real", "random"],
    boards: Sequence[str] = (),
) -> Conditions:
    """What the numbers of an audit depend on.

    Args:
        plan: The plan.
        device: A resolved torch device.
        input_shape: Channels, height, width.
        data: Whether the images are real.
        boards: UUIDs of the boards that did the work, where it is not torch that ran it there; by default
            the board behind `device`.

    Raises:
        MeasurementError: One of `boards` is unknown.
    """
    import torch

    facts = _facts_of(boards) if boards else _board_of(device)
    driver, name = (facts[0]["driver"], _name_of(facts)) if facts else (None, None)
    return Conditions(
        device=name if boards and name is not None else device_name(device),
        device_type="cuda" if boards else torch.device(device).type,
        batch_size=plan.batch_size,
        precision=plan.precision,
        input_shape=input_shape,
        memory_format=plan.memory_format,
        compile=plan.compile,
        threads=torch.get_num_threads(),
        data=data,
        torch=str(torch.__version__),
        driver=driver,
        power_limit_watts=_sum(facts, "power_limit_watts"),
        tf32=tf32_setting() if device.startswith("cuda") else None,
        max_sm_clock_mhz=_shared(facts, "max_sm_clock_mhz"),
        application_sm_clock_mhz=_shared(facts, "application_sm_clock_mhz"),
    )


def tf32_setting() -> Literal["off", "convolutions", "matmuls", "both"] | None:
    """Where torch may round fp32 to TF32; None where torch does not tell."""
    import torch

    try:
        # What the older switches (allow_tf32) set shows here too; reading those fails once both were used.
        convolutions = torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
        matmuls = torch.backends.cuda.matmul.fp32_precision == "tf32"
    except (AttributeError, RuntimeError):
        return None
    if convolutions and matmuls:
        return "both"
    return "convolutions" if convolutions else "matmuls" if matmuls else "off"


def _board_of(device: str) -> list[dict[str, Any]]:
    if not device.startswith("cuda"):
        return []
    try:
        return _facts_of(boards_of(device))
    except MeasurementError:
        return []


def _facts_of(uuids: Sequence[str]) -> list[dict[str, Any]]:
    with nvml() as library:
        return [board_facts(library, open_uuid(library, uuid)) for uuid in uuids]


def _name_of(facts: Sequence[dict[str, Any]]) -> str | None:
    names = [each["name"] for each in facts]
    if None in names:
        return None
    kinds = dict.fromkeys(names)
    return " + ".join(f"{names.count(kind)} x {kind}" if names.count(kind) > 1 else kind for kind in kinds)


def _sum(facts: Sequence[dict[str, Any]], key: str) -> float | None:
    values = [each[key] for each in facts]
    return sum(values) if values and None not in values else None


def _shared(facts: Sequence[dict[str, Any]], key: str) -> float | None:
    values = {each[key] for each in facts}
    return values.pop() if len(values) == 1 else None

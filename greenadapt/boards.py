"""NVIDIA boards as NVML sees them: found by UUID, asked politely, never by index.

CUDA orders boards by speed and hides some of them (``CUDA_VISIBLE_DEVICES``); NVML orders them by bus
and hides none. Only the UUID means the same board to both.

    nvml()                 opens the library for a while; an error with the way out where it is not there
    open_board(device)     torch device -> UUID -> NVML handle
    board_facts(handle)    name, driver, memory, power limit, and what else stays the same
    board_state(handle)    processes, throttling, clock, temperature: what may spoil a measurement
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from greenadapt.errors import MeasurementError
from greenadapt.units import watts_from_milliwatts

_NANOSECONDS_PER_SECOND = 1e9


@contextmanager
def nvml() -> Iterator[Any]:
    """The module `pynvml`, initialised; shut down again on leaving.

    Raises:
        MeasurementError: There is no driver, or another package hides NVIDIA's module.
    """
    library = start_nvml()
    try:
        yield library
    finally:
        library.nvmlShutdown()


def start_nvml() -> Any:
    """Initialises NVML and returns the module `pynvml`; each start wants an ``nvmlShutdown`` (they nest).

    Raises:
        MeasurementError: There is no driver, or another package hides NVIDIA's module.
    """
    import pynvml

    if not hasattr(pynvml, "_nvmlGetFunctionPointer"):
        raise MeasurementError(
            "NVIDIA's management library cannot be used.",
            "The installed module 'pynvml' is not NVIDIA's: an old package of that name hides it.",
            "Run: pip uninstall pynvml && pip install --force-reinstall nvidia-ml-py",
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise MeasurementError(
            "NVIDIA's management library cannot be used.",
            f"NVML says: {error}.",
            "Install an NVIDIA driver (nvidia-smi must work), or pick another instrument with --meter.",
        ) from error
    return pynvml


def board_uuid(device: str) -> str:
    """UUID of the board behind a torch CUDA device, without prefix.

    Raises:
        MeasurementError: It is no CUDA device, or torch sees no such board.
    """
    import torch

    try:
        return str(torch.cuda.get_device_properties(torch.device(device)).uuid)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise MeasurementError(
            f"{device!r} is no NVIDIA board that torch can use.",
            f"torch says: {str(error).splitlines()[0] if str(error) else type(error).__name__}.",
            "Pick a device that torch.cuda lists, and check CUDA_VISIBLE_DEVICES.",
        ) from error


def open_board(library: Any, device: str) -> Any:
    """NVML handle of the board behind a torch CUDA device.

    Args:
        library: What `start_nvml` returned.
        device: A torch device, such as "cuda:0".

    Raises:
        MeasurementError: No such board, or the device is a MIG slice, which has no counter of its own.
    """
    uuid = board_uuid(device)
    handle = _ask(library, library.nvmlDeviceGetHandleByUUID, f"GPU-{uuid}")
    if handle is not None:
        return handle
    if _ask(library, library.nvmlDeviceGetHandleByUUID, f"MIG-{uuid}") is not None:
        raise MeasurementError(
            f"The energy of {device} cannot be measured.",
            "It is a MIG slice; the counter covers the whole board, other slices included.",
            "Use a whole board, or pick another instrument with --meter.",
        )
    raise MeasurementError(
        f"The energy of {device} cannot be measured.",
        "NVML does not know the UUID that CUDA gives for it.",
        "Restart the program; if that does not help, the driver and CUDA do not fit together.",
    )


def nvml_index(device: str) -> int:
    """NVML's number of the board behind a torch CUDA device, for libraries that want numbers.

    Raises:
        MeasurementError: As `open_board`.
    """
    with nvml() as library:
        return int(library.nvmlDeviceGetIndex(open_board(library, device)))


def nvml_indices() -> list[int]:
    """NVML's numbers of all boards of this machine; empty without a driver."""
    try:
        with nvml() as library:
            return list(range(int(library.nvmlDeviceGetCount())))
    except MeasurementError:
        return []


def all_board_facts() -> list[dict[str, Any]]:
    """`board_facts` of every board of this machine; empty without a driver."""
    try:
        with nvml() as library:
            handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
            return [board_facts(library, handle) for handle in handles]
    except MeasurementError:
        return []


def board_facts(library: Any, handle: Any) -> dict[str, Any]:
    """What a board is and how it is set; what NVML does not tell is None.

    The UUID identifies a machine, so only its hash is kept.
    """
    memory = _ask(library, library.nvmlDeviceGetMemoryInfo, handle)
    uuid = _ask(library, library.nvmlDeviceGetUUID, handle)
    limit = _ask(library, library.nvmlDeviceGetEnforcedPowerLimit, handle)
    mig = _ask(library, library.nvmlDeviceGetMigMode, handle)
    ecc = _ask(library, library.nvmlDeviceGetEccMode, handle)
    persistence = _ask(library, library.nvmlDeviceGetPersistenceMode, handle)
    return {
        "name": _text(_ask(library, library.nvmlDeviceGetName, handle)),
        "uuid_sha256": hashlib.sha256(_text(uuid).encode()).hexdigest() if uuid is not None else None,
        "driver": _text(_ask(library, library.nvmlSystemGetDriverVersion)),
        "vbios": _text(_ask(library, library.nvmlDeviceGetVbiosVersion, handle)),
        "memory_bytes": int(memory.total) if memory is not None else None,
        "power_limit_watts": watts_from_milliwatts(limit) if limit is not None else None,
        "persistence": bool(persistence) if persistence is not None else None,
        "ecc": bool(ecc[0]) if ecc is not None else None,
        "mig": bool(mig[0]) if mig is not None else None,
    }


@dataclass(frozen=True)
class BoardState:
    """What may spoil a measurement, at one moment; None is unknown.

    Attributes:
        other_processes: Processes that compute on the board beside this one.
        thermal_seconds: How long heat has throttled the board since the driver was loaded.
        slowdown: Whether the board is slowed down by heat or by its supply right now.
        power_limit_watts: The limit in force.
        temperature_celsius: Of the chip.
    """

    other_processes: int | None = None
    thermal_seconds: float | None = None
    slowdown: bool | None = None
    power_limit_watts: float | None = None
    temperature_celsius: float | None = None


def board_state(device: str) -> BoardState:
    """The state of the board behind a torch device; all unknown on a CPU or without a driver."""
    if not device.startswith("cuda"):
        return BoardState()
    try:
        with nvml() as library:
            return _state(library, open_board(library, device))
    except MeasurementError:
        return BoardState()


def _state(library: Any, handle: Any) -> BoardState:
    processes = _ask(library, library.nvmlDeviceGetComputeRunningProcesses, handle)
    violation = _ask(library, library.nvmlDeviceGetViolationStatus, handle, library.NVML_PERF_POLICY_THERMAL)
    reasons = _ask(library, library.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    limit = _ask(library, library.nvmlDeviceGetEnforcedPowerLimit, handle)
    temperature = _ask(library, library.nvmlDeviceGetTemperature, handle, library.NVML_TEMPERATURE_GPU)
    slowed = (
        library.nvmlClocksThrottleReasonHwSlowdown
        | library.nvmlClocksThrottleReasonSwThermalSlowdown
        | library.nvmlClocksThrottleReasonHwThermalSlowdown
        | library.nvmlClocksThrottleReasonHwPowerBrakeSlowdown
    )
    return BoardState(
        other_processes=_others([process.pid for process in processes]) if processes is not None else None,
        thermal_seconds=violation.violationTime / _NANOSECONDS_PER_SECOND if violation is not None else None,
        slowdown=bool(reasons & slowed) if reasons is not None else None,
        power_limit_watts=watts_from_milliwatts(limit) if limit is not None else None,
        temperature_celsius=float(temperature) if temperature is not None else None,
    )


def _others(pids: list[int]) -> int:
    # In a container NVML gives the host's numbers, so ours may be there under another one.
    return len(pids) - 1 if os.getpid() in pids else max(0, len(pids) - 1)


def _ask(library: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    # With a driver older than the module, some questions fail with an error of another family.
    mismatch = getattr(library, "NVMLLibraryMismatchError", library.NVMLError)
    try:
        return question(*arguments)
    except (library.NVMLError, mismatch):
        return None


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value

"""What a board is and how it is set."""

from __future__ import annotations

import hashlib
from typing import Any

from greenadapt.boards.library import ask, nvml, text
from greenadapt.boards.names import open_uuid
from greenadapt.errors import MeasurementError
from greenadapt.units import watts_from_milliwatts

SLOWDOWNS = {8: "HwSlowdown", 32: "SwThermalSlowdown", 64: "HwThermalSlowdown", 128: "HwPowerBrakeSlowdown"}
"""Clock event reasons, by their bit, that mean a board slowed down by heat or by its supply."""

SIMULATED_NAME = "NVIDIA Simulated GPU"
"""What the simulator in tests/ calls its boards, as no real one is called."""


def all_board_facts() -> list[dict[str, Any]]:
    """`board_facts` of every board of this machine; empty without a driver."""
    try:
        with nvml() as library:
            count = ask(library, library.nvmlDeviceGetCount) or 0
            handles = [ask(library, library.nvmlDeviceGetHandleByIndex, number) for number in range(count)]
            return [board_facts(library, handle) for handle in handles if handle is not None]
    except MeasurementError:
        return []


def board_facts(library: Any, handle: Any) -> dict[str, Any]:
    """What a board is and how it is set; what NVML does not tell is None.

    The UUID identifies a machine, so only its hash is kept.

    Args:
        library: What `start_nvml` returned.
        handle: NVML's handle of the board.
    """
    memory = ask(library, library.nvmlDeviceGetMemoryInfo, handle)
    limit = ask(library, library.nvmlDeviceGetEnforcedPowerLimit, handle)
    mig = ask(library, library.nvmlDeviceGetMigMode, handle)
    ecc = ask(library, library.nvmlDeviceGetEccMode, handle)
    persistence = ask(library, library.nvmlDeviceGetPersistenceMode, handle)
    mode = ask(library, library.nvmlDeviceGetComputeMode, handle)
    uuid = text(ask(library, library.nvmlDeviceGetUUID, handle))
    return {
        "name": text(ask(library, library.nvmlDeviceGetName, handle)),
        "uuid_sha256": uuid_sha256(uuid) if uuid is not None else None,
        "driver": text(ask(library, library.nvmlSystemGetDriverVersion)),
        "vbios": text(ask(library, library.nvmlDeviceGetVbiosVersion, handle)),
        "memory_bytes": int(memory.total) if memory is not None else None,
        "power_limit_watts": watts_from_milliwatts(limit) if limit is not None else None,
        "persistence": bool(persistence) if persistence is not None else None,
        "ecc": bool(ecc[0]) if ecc is not None else None,
        "mig": bool(mig[0]) if mig is not None else None,
        "compute_mode": int(mode) if mode is not None else None,
        **clock_settings(library, handle),
    }


def clock_settings(library: Any, handle: Any) -> dict[str, float | None]:
    """The highest and the set clock of a board's multiprocessors in MHz; None where NVML does not tell.

    Args:
        library: What `start_nvml` returned.
        handle: NVML's handle of the board.
    """
    highest = ask(library, library.nvmlDeviceGetMaxClockInfo, handle, library.NVML_CLOCK_SM)
    chosen = ask(library, library.nvmlDeviceGetApplicationsClock, handle, library.NVML_CLOCK_SM)
    return {
        "max_sm_clock_mhz": float(highest) if highest is not None else None,
        "application_sm_clock_mhz": float(chosen) if chosen is not None else None,
    }


def is_simulated(uuid: str) -> bool:
    """Whether a board is that of the test suite's simulator; what it counts is never a measurement."""
    try:
        with nvml() as library:
            name = text(ask(library, library.nvmlDeviceGetName, open_uuid(library, uuid)))
            return bool(name == SIMULATED_NAME)
    except MeasurementError:
        return False


def uuid_sha256(uuid: str) -> str:
    """What stands in files for a UUID, which would identify the machine."""
    return hashlib.sha256(uuid.encode()).hexdigest()

"""Whether others compute on the boards that are measured: one question at the start, one at the end."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from greenadapt.boards import nvml, open_uuid
from greenadapt.boards.library import failures
from greenadapt.boards.tenants import Tenants
from greenadapt.errors import MeasurementError

_PATIENCE_SECONDS = 2.0


def others_on(uuids: Sequence[str]) -> int | None:
    """How many processes of others compute on boards; None where NVML does not tell, or not in time.

    Args:
        uuids: The boards.
    """
    found: list[int | None] = []
    if uuids:
        # A driver that hangs must not hang the user's program with it.
        asking = threading.Thread(
            target=lambda: found.append(_others(uuids)), name="greenadapt-neighbours", daemon=True
        )
        asking.start()
        asking.join(_PATIENCE_SECONDS)
    return found[0] if found else None


def others_note(counts: Sequence[int | None]) -> list[str]:
    """The sentence on others, if there were any.

    Args:
        counts: What `others_on` said, at different moments.
    """
    most = max((count for count in counts if count is not None), default=0)
    if most == 0:
        return []
    who = "1 other process" if most == 1 else f"{most} other processes"
    return [f"{who} computed on the board meanwhile: what they took is in the figure."]


def _others(uuids: Sequence[str]) -> int | None:
    tenants, counts = Tenants(), list[int | None]()
    try:
        with nvml() as library:
            for uuid in uuids:
                try:
                    there = library.nvmlDeviceGetComputeRunningProcesses(open_uuid(library, uuid))
                except failures(library):
                    continue
                counts.append(tenants.others(process.pid for process in there))
    except MeasurementError:
        return None
    known = [count for count in counts if count is not None]
    return sum(known) if known else None

"""NVIDIA boards as NVML sees them: found by UUID, asked politely, never by CUDA's number.

CUDA orders boards by speed and hides some of them (``CUDA_VISIBLE_DEVICES``); NVML orders them by bus
and hides none. Only the UUID means the same board to both.

    library.py    nvml(), start_nvml(): NVML opened for a while, or an error with the way out
    visible.py    what CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER mean: CUDA's numbers -> UUIDs, or why not
    names.py      boards_of("cuda:1" | "0" | "all" | "GPU-1a2b") -> UUIDs; open_uuid(UUID) -> NVML handle
    facts.py      board_facts(handle): what stays the same
    watch.py      Watch(uuids): asks the boards about twice a second while trials run
    questions.py  what a Watch asks, and what it makes of failing calls
    tenants.py    which of the processes on a board are somebody else's
    report.py     BoardReport: what the answers of a Watch come to
    trends.py     drift, agreement of power and counter: figures from samples, or None where there are too few
"""

from __future__ import annotations

from greenadapt.boards.facts import (
    SLOWDOWNS,
    all_board_facts,
    board_facts,
    is_simulated,
    uuid_sha256,
)
from greenadapt.boards.library import nvml, start_nvml
from greenadapt.boards.names import (
    MIG_NOTE,
    board_uuid,
    boards_of,
    mig_note,
    nvml_index,
    nvml_indices,
    open_board,
    open_uuid,
)
from greenadapt.boards.report import BoardReport
from greenadapt.boards.watch import Watch

__all__ = [
    "MIG_NOTE",
    "SLOWDOWNS",
    "BoardReport",
    "Watch",
    "all_board_facts",
    "board_facts",
    "board_uuid",
    "boards_of",
    "is_simulated",
    "mig_note",
    "nvml",
    "nvml_index",
    "nvml_indices",
    "open_board",
    "open_uuid",
    "start_nvml",
    "uuid_sha256",
]

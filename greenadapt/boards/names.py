"""From what people and torch call a board to its UUID, and from there to NVML's handle.

    "cuda:1"                       CUDA's board 1: torch says which where CUDA runs, else the environment does
    "cuda"                         all boards that CUDA may see
    "0"  "1,0"  "GPU-1a2b"  "all"  NVML's own: numbers as nvidia-smi shows them, UUIDs or the start of one

A name that could mean two boards, a number that CUDA alone understands, a MIG slice: an error, never a guess.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from greenadapt.boards import cuda
from greenadapt.boards.library import ask, nvml, silences, text, told
from greenadapt.boards.visible import ORDER, VARIABLE, Board, Doubt, Visible, matches, sliced, visible
from greenadapt.errors import MeasurementError

_CUDA = re.compile(r"cuda(?::([0-9]{1,9}))?")
_NO_BOARDS = ("cpu", "mps", "xpu")
_SHORT = len("GPU-00000000")
_EXAMPLES = "Use cuda:0, or NVML's own names: 0, 1,0, GPU-1a2b (the start of a UUID) or all."


def boards_of(device: str) -> list[str]:
    """UUIDs of the boards that a name means, in the order named.

    The environment is read at the moment of the call; once torch has started CUDA, torch's answer stands.

    Args:
        device: "cuda:1", "cuda" (all that CUDA may see), "all", "0", "1,0", a UUID or its unique start.

    Raises:
        MeasurementError: There is no driver or no such board; the name is ambiguous, names a board twice or
            is a MIG slice's; which board CUDA means cannot be known, or torch and the environment differ.
    """
    by_cuda = _CUDA.fullmatch(device)
    if by_cuda is None and not _could_name(device):
        why = "It names none." if device.partition(":")[0] in _NO_BOARDS else _those_there()
        raise MeasurementError(f"{device!r} is no NVIDIA board.", why, _EXAMPLES)
    with nvml() as library:
        boards = _boards(library)
        if by_cuda is None:
            return _named(library, device, boards)
        seen = _seen_by_cuda(library, boards)
        return [seen.number(int(by_cuda[1]))] if by_cuda[1] is not None else seen.all()


def open_uuid(library: Any, uuid: str) -> Any:
    """NVML's handle of a board.

    Args:
        library: What `start_nvml` returned.
        uuid: The full UUID, "GPU-...".

    Raises:
        MeasurementError: NVML does not know it.
    """
    return told(library, f"which board {uuid} is", library.nvmlDeviceGetHandleByUUID, uuid)


def open_board(library: Any, device: str) -> Any:
    """NVML's handle of the one board that a name means.

    Args:
        library: What `start_nvml` returned.
        device: As for `boards_of`.

    Raises:
        MeasurementError: As `boards_of`; or there are several.
    """
    return open_uuid(library, _only(device))


def board_uuid(device: str) -> str:
    """UUID of the one board that a name means, without its prefix.

    Raises:
        MeasurementError: As `boards_of`; or there are several.
    """
    return _only(device).removeprefix("GPU-")


def nvml_index(device: str) -> int:
    """NVML's number of the one board that a name means, for libraries that want numbers.

    Raises:
        MeasurementError: As `boards_of`; or there are several.
    """
    return nvml_indices([_only(device)])[0]


def nvml_indices(uuids: Sequence[str] | None = None) -> list[int]:
    """NVML's numbers of boards, for libraries that want numbers.

    Args:
        uuids: Which boards; None for all of this machine, which is none without a driver.

    Raises:
        MeasurementError: NVML does not know one of `uuids`.
    """
    if uuids is None:
        try:
            with nvml() as library:
                return list(range(int(told(library, "how many boards", library.nvmlDeviceGetCount))))
        except MeasurementError:
            return []
    with nvml() as library:
        return [
            int(told(library, "a board's number", library.nvmlDeviceGetIndex, open_uuid(library, uuid)))
            for uuid in uuids
        ]


def mig_note(uuid: str) -> str:
    """What must stand beside the joules of a board that is cut into MIG slices; empty for a whole board.

    Args:
        uuid: The board.

    Raises:
        MeasurementError: NVML does not know the board, or does not tell.
    """
    with nvml() as library:
        return MIG_NOTE if _is_sliced(library, open_uuid(library, uuid)) else ""


MIG_NOTE = "parent board: all its MIG slices together"
"""`greenadapt.auditing.validity` looks for it in a meter's note."""


def _only(device: str) -> str:
    found = boards_of(device)
    if len(found) != 1:
        raise MeasurementError(
            f"{device!r} is not one board.", f"It is {len(found)}: {', '.join(found)}.", "Name one of them."
        )
    return found[0]


def _could_name(device: str) -> bool:
    return device == "all" or all(
        re.fullmatch(r"[0-9]{1,9}|GPU-[0-9a-fA-F-]*|MIG-[0-9a-zA-Z/-]*", part) for part in device.split(",")
    )


def _boards(library: Any) -> list[Board]:
    """All boards in NVML's order.

    Raises:
        MeasurementError: NVML does not tell something of one of them: leaving it out would shift the others.
    """
    count = told(library, "how many boards there are", library.nvmlDeviceGetCount)
    handles = [
        told(library, f"what board {number} is", library.nvmlDeviceGetHandleByIndex, number)
        for number in range(count)
    ]
    return [
        Board(
            text(told(library, f"the UUID of board {number}", library.nvmlDeviceGetUUID, handle)),
            _is_sliced(library, handle),
        )
        for number, handle in enumerate(handles)
    ]


def _is_sliced(library: Any, handle: Any) -> bool:
    try:
        mode = library.nvmlDeviceGetMigMode(handle)
    except silences(library):
        return False
    except library.NVMLError as error:
        raise MeasurementError(
            "It cannot be said whether a board is cut into MIG slices.",
            f"NVML says: {error}.",
            "Run nvidia-smi: if it fails too, the driver needs a restart.",
        ) from error
    return bool(mode[0])


def _named(library: Any, device: str, boards: Sequence[Board]) -> list[str]:
    if device == "all":
        if not boards:
            raise MeasurementError("There is no board.", "NVML lists none.", "Run nvidia-smi to see why.")
        return [board.uuid for board in boards]
    found: list[str] = []
    for part in device.split(","):
        uuid = _one(library, part, boards)
        if uuid in found:
            raise MeasurementError(
                f"{device!r} names a board twice.", f"It is {uuid}.", "Name each board once."
            )
        found.append(uuid)
    return found


def _one(library: Any, name: str, boards: Sequence[Board]) -> str:
    if name.startswith("MIG-"):
        doubt = sliced(name, _parent_of(library, name))
        raise MeasurementError(f"{name} has no joules of its own.", doubt.seen, doubt.todo)
    found = matches(name, boards) if name.startswith("GPU-") else [int(name)]
    if len(found) > 1:
        uuids = ", ".join(boards[position].uuid for position in found)
        raise MeasurementError(
            f"{name!r} is not one board.", f"It could be {uuids}.", "Write more of the UUID."
        )
    if not found or found[0] >= len(boards):
        raise MeasurementError(f"There is no board {name!r}.", _listed(boards), _EXAMPLES)
    return boards[found[0]].uuid


def _listed(boards: Sequence[Board]) -> str:
    """The boards that NVML has, each by the start of its UUID, or all of it where two start alike."""
    uuids = [board.uuid for board in boards]
    alike = len({uuid[:_SHORT] for uuid in uuids}) < len(uuids)
    there = ", ".join(f"{number} = {uuid if alike else uuid[:_SHORT]}" for number, uuid in enumerate(uuids))
    return f"NVML lists: {there or 'none'}."


def _those_there() -> str:
    """As `_listed`, for a name that is wrong whatever NVML says; without a driver it has no more to say."""
    try:
        with nvml() as library:
            return _listed(_boards(library))
    except MeasurementError as error:
        return f"It names none. {error.happened}"


def _seen_by_cuda(library: Any, boards: Sequence[Board]) -> Visible:
    """CUDA's boards, from torch where its CUDA works, else from the environment."""
    ready = cuda.initialised()
    by_torch = cuda.uuids()
    environment = visible(
        os.environ.get(VARIABLE),
        os.environ.get(ORDER),
        _by_bus(library, boards),
        lambda slice_: _parent_of(library, slice_),
    )
    if by_torch is None:
        return environment
    slots = tuple(_slot(library, uuid, boards) for uuid in by_torch)
    told_by_torch = Visible(slots, "that is what torch says.", None)
    # A CUDA that was up already read the environment long ago; it may have been changed since.
    if not ready:
        _check_agreement(environment, told_by_torch)
    return told_by_torch


def _slot(library: Any, uuid: str, boards: Sequence[Board]) -> str | Doubt:
    """The board of a UUID that torch gives without prefix."""
    for board in boards:
        if board.uuid == f"GPU-{uuid}":
            return sliced(board.uuid, board.uuid) if board.mig else board.uuid
    name = f"MIG-{uuid}"
    if ask(library, library.nvmlDeviceGetHandleByUUID, name) is not None:
        return sliced(name, _parent_of(library, name))
    return Doubt(
        f"NVML does not know the UUID {uuid} that CUDA gives for it.",
        "Restart the program; if that does not help, the driver and CUDA do not fit together.",
    )


def _check_agreement(environment: Visible, by_torch: Visible) -> None:
    pairs = list(zip(environment.slots, by_torch.slots, strict=False))
    differ = any(isinstance(one, str) and isinstance(two, str) and one != two for one, two in pairs)
    known = all(isinstance(slot, str) for slot in environment.slots)
    if differ or (known and len(environment.slots) != len(by_torch.slots)):
        raise MeasurementError(
            "It is not clear which boards CUDA uses.",
            f"By {VARIABLE} they are {_list(environment)}; torch says {_list(by_torch)}.",
            f"Start the program again with {VARIABLE} set to UUIDs, or name the board: --meter nvml:GPU-...",
        )


def _list(seen: Visible) -> str:
    return ", ".join(slot if isinstance(slot, str) else "?" for slot in seen.slots) or "none"


def _by_bus(library: Any, boards: Sequence[Board]) -> list[Board]:
    places = [ask(library, library.nvmlDeviceGetPciInfo, open_uuid(library, board.uuid)) for board in boards]
    if any(place is None for place in places):
        # NVML itself numbers by bus; its numbers are what nvidia-smi shows.
        return list(boards)
    keys = [(place.domain, place.bus, place.device) for place in places]
    return [boards[position] for position in sorted(range(len(boards)), key=keys.__getitem__)]


def _parent_of(library: Any, name: str) -> str | None:
    """UUID of the board that a MIG slice is part of: in the old form it stands in the name."""
    old = re.match(r"MIG-(GPU-[0-9a-fA-F-]+)", name)
    if old is not None:
        return old[1]
    handle = ask(library, library.nvmlDeviceGetHandleByUUID, name)
    parent = ask(library, library.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, handle) if handle else None
    return text(ask(library, library.nvmlDeviceGetUUID, parent)) if parent is not None else None

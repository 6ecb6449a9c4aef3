"""What ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` make of the boards of a machine.

    boards by bus       G0  G1  G2            unset            every board
    "2,0"               CUDA 0 = G2, 1 = G0   "" or "-1"       none
    "GPU-1a,GPU-7"      by UUID or the start of one            "0,0"            none: CUDA takes no repetition
    "0,9,1"             CUDA 0 = G0, then nothing: CUDA stops at the first entry that names no board

CUDA's numbers are NVML's only with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``. By default CUDA sorts "fastest first" by
a heuristic that is not documented, nor is any order among equals; so on a machine of several boards a number
alone names none of them, and that is said instead of guessed. The same holds for entries that are documented
nowhere (numbers mixed with UUIDs, other words) and for numbers where a board is cut into MIG slices.

Source: CUDA programming guide, "CUDA environment variables"; for repetitions also torch.cuda's own reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from greenadapt.errors import MeasurementError

VARIABLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"
_BY_BUS = "PCI_BUS_ID"
_NUMBER = re.compile(r"\s*([+-]?)0*([0-9]+)\s*", re.ASCII)
_MOST_DIGITS, _MOST_SHOWN = 9, 80


@dataclass(frozen=True)
class Board:
    """One board of the machine.

    Attributes:
        uuid: "GPU-" and 36 characters.
        mig: Whether it is cut into MIG slices.
    """

    uuid: str
    mig: bool = False


@dataclass(frozen=True)
class Doubt:
    """Why it cannot be said which board a number of CUDA's means.

    Attributes:
        seen: What was found.
        todo: The way out.
    """

    seen: str
    todo: str


@dataclass(frozen=True)
class Visible:
    """CUDA's boards.

    Attributes:
        slots: UUID of CUDA's board 0, 1, ..., or why it is not known.
        ends: Why there are no more.
        members: UUIDs of all of them in no order, where these are known even though the slots are not.
    """

    slots: tuple[str | Doubt, ...]
    ends: str
    members: tuple[str, ...] | None = None

    def number(self, number: int) -> str:
        """UUID of CUDA's board of that number.

        Raises:
            MeasurementError: There is none, or it cannot be said which it is.
        """
        happened = f"The board behind cuda:{number} cannot be named."
        unclear = bool(self.slots) and isinstance(self.slots[-1], Doubt) and not self.ends
        if number >= len(self.slots) and not unclear:
            raise MeasurementError(
                happened,
                f"CUDA sees {_boards(len(self.slots))}: {self.ends}",
                f"Pick another device, or set {VARIABLE} to the UUIDs that nvidia-smi -L shows.",
            )
        slot = self.slots[min(number, len(self.slots) - 1)]
        if isinstance(slot, Doubt):
            raise MeasurementError(happened, slot.seen, slot.todo)
        return slot

    def all(self) -> list[str]:
        """UUIDs of all of CUDA's boards.

        Raises:
            MeasurementError: There are none, or it cannot be said which they are.
        """
        happened = "The boards behind 'cuda' cannot be named."
        if not self.slots:
            raise MeasurementError(
                happened, f"CUDA sees none: {self.ends}", f"Unset {VARIABLE}, or set it to the boards to use."
            )
        if self.members is not None:
            return list(self.members)
        doubts = [slot for slot in self.slots if isinstance(slot, Doubt)]
        if doubts:
            raise MeasurementError(happened, doubts[0].seen, doubts[0].todo)
        return [slot for slot in self.slots if isinstance(slot, str)]


def visible(
    variable: str | None,
    order: str | None,
    boards: Sequence[Board],
    parent_of: Callable[[str], str | None] = lambda slice_: None,
) -> Visible:
    """The boards that CUDA would see if it started now.

    Args:
        variable: Value of ``CUDA_VISIBLE_DEVICES``; None if it is not set.
        order: Value of ``CUDA_DEVICE_ORDER``; None if it is not set.
        boards: All boards of the machine in the order of their bus.
        parent_of: UUID of the board that a MIG slice is part of; None where nobody knows.
    """
    by_number = _by_number(order, boards)
    if variable is None:
        every = tuple(board.uuid for board in boards)
        ends = f"the machine has {_boards(len(boards))}."
        return Visible(tuple(by_number), ends, None if _sliced(boards) else every)
    entries = variable.split(",")
    uuids = entries[0].startswith("GPU-")
    slots: list[str | Doubt] = []
    taken: list[int] = []
    for entry in entries:
        if entry.startswith("MIG-"):
            return Visible((*slots, sliced(entry, parent_of(entry))), "")
        found = _by_uuid(entry, boards) if uuids else _numbered(entry, len(boards))
        if isinstance(found, Doubt):
            return Visible((*slots, found), "")
        if isinstance(found, str):
            return _listed(slots, taken, f"{VARIABLE} is {_shown(repr(variable))}; {found}", boards)
        if found in taken:
            return Visible((), f"{VARIABLE} is {_shown(repr(variable))}, which names a board twice.")
        taken.append(found)
        slots.append(_whole(boards[found]) if uuids else by_number[found])
    return _listed(slots, taken, f"{VARIABLE} is {_shown(repr(variable))}.", boards)


def sliced(uuid: str, parent: str | None) -> Doubt:
    """What to say of a MIG slice.

    Args:
        uuid: The slice, as it was named.
        parent: UUID of its board, where it is known.
    """
    return Doubt(
        f"{uuid} is a MIG slice or a board cut into such; the counter covers the whole board, "
        "the other slices included.",
        f"Use a whole board, or ask for the joules of the whole parent board: "
        f"--meter nvml:{parent if parent is not None else 'GPU-...'}",
    )


def matches(start: str, boards: Sequence[Board]) -> list[int]:
    """Positions of the boards whose UUID starts so."""
    return [position for position, board in enumerate(boards) if board.uuid.startswith(start)]


def _listed(slots: list[str | Doubt], taken: list[int], ends: str, boards: Sequence[Board]) -> Visible:
    # Whatever the order, a list of all numbers names all boards.
    every = len(taken) == len(boards) > 0 and not _sliced(boards)
    return Visible(tuple(slots), ends, tuple(boards[position].uuid for position in taken) if every else None)


def _by_number(order: str | None, boards: Sequence[Board]) -> list[str | Doubt]:
    if _sliced(boards):
        parent = next(board.uuid for board in boards if board.mig)
        return [sliced(parent, parent)] * len(boards)
    if order == _BY_BUS or len(boards) < 2:
        return [board.uuid for board in boards]
    doubt = Doubt(
        f"The machine has {len(boards)} boards, and CUDA numbers them by speed unless {ORDER} says otherwise "
        f"(it is {'not set' if order is None else repr(order)}).",
        f"Set {ORDER}={_BY_BUS} before the program starts, or name boards by UUID: {VARIABLE}=GPU-..., "
        "--meter nvml:GPU-... (nvidia-smi -L shows them).",
    )
    return [doubt] * len(boards)


def _sliced(boards: Sequence[Board]) -> bool:
    return any(board.mig for board in boards)


def _whole(board: Board) -> str | Doubt:
    return sliced(board.uuid, board.uuid) if board.mig else board.uuid


def _by_uuid(entry: str, boards: Sequence[Board]) -> int | str | Doubt:
    """Position of a board, why CUDA stops here, or why nobody knows."""
    if not entry.startswith("GPU-"):
        return _unclear(entry)
    found = matches(entry, boards)
    if len(found) == 1:
        return found[0]
    if found:
        return f"{_shown(repr(entry))} is the start of {len(found)} boards' UUIDs, and CUDA stops there."
    return f"{_shown(repr(entry))} is no board of this machine, and CUDA stops there."


def _numbered(entry: str, count: int) -> int | str | Doubt:
    """Position of a board, why CUDA stops here, or why nobody knows."""
    number = _NUMBER.fullmatch(entry)
    if number is not None:
        sign, digits = number.groups()
        # Python refuses to read thousands of digits, and CUDA's counting ends long before.
        position = int(sign + digits) if len(digits) <= _MOST_DIGITS else None
        if position is not None and 0 <= position < count:
            return position
        return (
            f"{_shown(sign + digits)} is no board of this machine ({_boards(count)}), and CUDA stops there."
        )
    if entry.strip() in ("", "NoDevFiles"):
        return "that names no board."
    return _unclear(entry)


def _unclear(entry: str) -> Doubt:
    return Doubt(
        f"CUDA does not document what it makes of {_shown(repr(entry))} at its place in {VARIABLE}.",
        f"Set {VARIABLE} to numbers only or to UUIDs only (nvidia-smi -L shows them), without blanks.",
    )


def _boards(count: int) -> str:
    return f"{count} board{'' if count == 1 else 's'}"


def _shown(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}... ({len(text)} characters)"

"""Forms of device selection on three different simulated boards: the right board each, or an error.

name + CUDA_VISIBLE_DEVICES + CUDA_DEVICE_ORDER ──> boards_of ──> handle ──> joules over ten virtual seconds
                                                                 against what each board truly used
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from greenadapt.boards import boards_of, nvml, open_uuid
from greenadapt.errors import MeasurementError
from tests.simulator import Simulator

UUIDS = (
    "GPU-1111aaaa-0000-4000-8000-000000000000",
    "GPU-1111bbbb-0000-4000-8000-000000000001",
    "GPU-33333333-0000-4000-8000-000000000002",
)
NAMES = ("NVIDIA Slow", "NVIDIA Fast", "NVIDIA Middling")
WATTS = (100.0, 230.0, 370.0)
_SECONDS = 10.0
BY_BUS = "PCI_BUS_ID"


@dataclass(frozen=True)
class Form:
    """One way to name boards.

    Attributes:
        words: What it is, in words.
        device: What `boards_of` is asked.
        variable: ``CUDA_VISIBLE_DEVICES``; None leaves it unset.
        order: ``CUDA_DEVICE_ORDER``; None leaves it unset.
        boards: NVML's numbers of the boards meant, or the words that the error must have in it.
        sliced: NVML's numbers of boards that are cut into MIG slices.
    """

    words: str
    device: str
    variable: str | None = None
    order: str | None = None
    boards: tuple[int, ...] | str = ()
    sliced: tuple[int, ...] = ()

    def __str__(self) -> str:
        variable = "unset" if self.variable is None else repr(self.variable)
        return f"{self.device}, {variable}{', ' + self.order if self.order else ''}"


@dataclass(frozen=True)
class Found:
    """What a form led to.

    Attributes:
        form: The form.
        uuids: The boards; empty after an error.
        error: The error, empty without one.
        joules: By each of the boards' counters.
        truth: What these boards truly used.
    """

    form: Form
    uuids: tuple[str, ...] = ()
    error: str = ""
    joules: tuple[float, ...] = ()
    truth: tuple[float, ...] = field(default=())

    @property
    def right(self) -> bool:
        """Whether it is the boards meant and their joules, or the error meant."""
        if isinstance(self.form.boards, str):
            return self.form.boards in self.error
        meant = tuple(UUIDS[number] for number in self.form.boards)
        near = all(abs(one / other - 1) < 0.02 for one, other in zip(self.joules, self.truth, strict=True))
        return self.uuids == meant and len(self.joules) == len(meant) and near


def _forms() -> Iterator[Form]:
    bus = BY_BUS
    yield Form("unset", "cuda:1", None, bus, (1,))
    yield Form("unset, all of them", "cuda", None, bus, (0, 1, 2))
    yield Form("unset, all of them, default order", "cuda", None, None, (0, 1, 2))
    yield Form("unset, default order", "cuda:0", None, None, "CUDA_DEVICE_ORDER")
    yield Form("beyond the last", "cuda:3", None, bus, "3 boards")
    yield Form("one number", "cuda:0", "2", bus, (2,))
    yield Form("one number, default order", "cuda:0", "2", None, "by speed")
    yield Form("order spelt otherwise", "cuda:0", "2", "FASTEST_FIRST", "by speed")
    yield Form("numbers reordered", "cuda:0", "2,0", bus, (2,))
    yield Form("numbers reordered, the second", "cuda:1", "2,0", bus, (0,))
    yield Form("numbers reordered, all", "cuda", "2,0", bus, (2, 0))
    yield Form("all numbers, default order", "cuda", "2,0,1", None, (2, 0, 1))
    yield Form("blanks around numbers", "cuda:1", " 2 , 1 ", bus, (1,))
    yield Form("a number repeated", "cuda:0", "1,1", bus, "twice")
    yield Form("a UUID", "cuda:0", UUIDS[1], None, (1,))
    yield Form("UUIDs reordered", "cuda:1", f"{UUIDS[2]},{UUIDS[0]}", None, (0,))
    yield Form("starts of UUIDs", "cuda", "GPU-3,GPU-1111b", None, (2, 1))
    yield Form("the start of two UUIDs", "cuda:0", "GPU-1111", None, "start of 2")
    yield Form("one board, by UUID and by its start", "cuda:0", f"{UUIDS[2]},GPU-3", None, "twice")
    yield Form("a UUID of elsewhere", "cuda:0", "GPU-99999999", None, "no board of this machine")
    yield Form("a UUID of elsewhere after one of here", "cuda:0", "GPU-3,GPU-9", None, (2,))
    yield Form("beyond a UUID of elsewhere", "cuda:1", "GPU-3,GPU-9,GPU-1111a", None, "no board of this")
    yield Form("empty", "cuda:0", "", bus, "names no board")
    yield Form("empty, all of them", "cuda", "", None, "sees none")
    yield Form("-1", "cuda:0", "-1", bus, "CUDA stops")
    yield Form("-1, all of them", "cuda", "-1", None, "sees none")
    yield Form("NoDevFiles", "cuda:0", "NoDevFiles", bus, "names no board")
    yield Form("out of range", "cuda:0", "7", bus, "no board of this machine")
    yield Form("before one out of range", "cuda:0", "1,7,0", bus, (1,))
    yield Form("after one out of range", "cuda:1", "1,7,0", bus, "CUDA stops")
    yield Form("before -1", "cuda", "0,2,-1,1", bus, (0, 2))
    yield Form("after -1", "cuda:2", "0,2,-1,1", bus, "2 boards")
    yield Form("a number before a UUID", "cuda:0", f"1,{UUIDS[2]}", bus, (1,))
    yield Form("a UUID after a number", "cuda:1", f"1,{UUIDS[2]}", bus, "not document")
    yield Form("a number after a UUID", "cuda", f"{UUIDS[2]},1", bus, "not document")
    yield Form("a word", "cuda:0", "1st", bus, "not document")
    yield from _slices()
    yield from _own_names()


def _slices() -> Iterator[Form]:
    old = f"MIG-{UUIDS[1]}/1/0"
    whole = f"nvml:{UUIDS[1]}"
    yield Form("a MIG slice, old name", "cuda:0", old, None, whole, (1,))
    yield Form("a MIG slice, new name", "cuda:0", "{slice}", None, whole, (1,))
    yield Form("a board cut into slices, by UUID", "cuda:0", UUIDS[1], None, "MIG slice", (1,))
    yield Form("numbers beside slices", "cuda:0", "0", BY_BUS, "MIG slice", (1,))
    yield Form("all beside slices", "cuda", None, BY_BUS, "MIG slice", (1,))
    yield Form("a whole board beside slices, by UUID", "cuda:0", UUIDS[0], None, (0,), (1,))
    yield Form("a MIG slice, asked of NVML", "{slice}", None, None, whole, (1,))
    yield Form("the parent, asked of NVML", UUIDS[1], None, None, (1,), (1,))


def _own_names() -> Iterator[Form]:
    # NVML hides nothing, so that CUDA's variable must not matter.
    yield Form("NVML's number", "0", "2", BY_BUS, (0,))
    yield Form("NVML's numbers, reordered", "2,0", "", None, (2, 0))
    yield Form("NVML's UUID", UUIDS[2], "0", BY_BUS, (2,))
    yield Form("the start of NVML's UUID", "GPU-1111b", "-1", None, (1,))
    yield Form("the start of two", "GPU-1111", None, None, "could be")
    yield Form("all of NVML's", "all", "1", BY_BUS, (0, 1, 2))
    yield Form("NVML's number, repeated", "1,1", None, None, "twice")
    yield Form("NVML's number, out of range", "3", None, None, "no board '3'")
    yield Form("a negative number", "-1", None, None, "no NVIDIA board")
    yield Form("nothing", "", None, None, "no NVIDIA board")
    yield Form("a processor", "cpu", None, None, "no NVIDIA board")


FORMS = tuple(_forms())


def try_form(form: Form) -> Found:
    """Resolves a form on three simulated boards and reads the joules of what it led to."""
    with Simulator.start(boards=len(UUIDS), virtual=True) as machine:
        for board, uuid, name, watts in zip(machine.boards, UUIDS, NAMES, WATTS, strict=True):
            board.configure(uuid=uuid, name=name, mig=board.index in form.sliced)
            board.power(watts)
        slice_ = machine.board(form.sliced[0]).mig_uuid(0) if form.sliced else ""
        device = form.device.replace("{slice}", slice_)
        variable = form.variable.replace("{slice}", slice_) if form.variable is not None else None
        try:
            with environment({"CUDA_VISIBLE_DEVICES": variable, "CUDA_DEVICE_ORDER": form.order}):
                uuids = boards_of(device)
        except MeasurementError as error:
            return Found(form, error=str(error))
        machine.advance(1.0)
        start, before = machine.now(), _joules(uuids)
        machine.advance(_SECONDS)
        joules = tuple(after - first for after, first in zip(_joules(uuids), before, strict=True))
        there = {board.uuid: board for board in machine.boards}
        truth = tuple(there[uuid].joules(start, machine.now()) for uuid in uuids)
        return Found(form, tuple(uuids), joules=joules, truth=truth)


def _joules(uuids: list[str]) -> list[float]:
    with nvml() as library:
        return [
            library.nvmlDeviceGetTotalEnergyConsumption(open_uuid(library, uuid)) / 1000 for uuid in uuids
        ]


@contextlib.contextmanager
def environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Sets variables of the environment for a while; None unsets one."""
    before = {name: os.environ.get(name) for name in changes}
    try:
        _set(changes)
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value

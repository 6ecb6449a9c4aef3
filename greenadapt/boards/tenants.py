"""Which of the processes that NVML lists for a board are somebody else's.

NVML's list                      we compute here?      others
our number is in it              -                     all but ours and our descendants'
it is not, numbers are ours      -                     all of them
it is not, in a container        no                    all of them
                                 yes                   all but one: we stand in it under the host's number
it is empty                      no                    none
                                 yes                   unknown: the list hides even us
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

_PROC = Path("/proc")
# The kernel gives the first PID namespace, where NVML's numbers are ours, this inode (PROC_PID_INIT_INO).
_FIRST_NAMESPACE = 0xEFFFFFFC
_CUDA_MEMORY_DEVICE = "/dev/nvidia-uvm"


class Tenants:
    """Tells this process and its descendants from others; remembers what it found out.

    Args:
        computing: Whether this process computes with CUDA; None to find out at each question.
        contained: Whether NVML's numbers may be of another PID namespace; None to find out.
    """

    def __init__(self, computing: bool | None = None, contained: bool | None = None) -> None:
        self._computing = computing
        self._contained = contained if contained is not None else _in_container()
        self._ours: dict[int, bool] = {os.getpid(): True}

    def others(self, pids: Iterable[int]) -> int | None:
        """How many of them are others; None where NVML hides processes.

        Args:
            pids: NVML's list of processes on one board, as the system numbers them.
        """
        there = set(pids)
        unknown = sum(not self._is_ours(pid) for pid in there)
        if unknown < len(there):
            return unknown
        if not there:
            return None if self._computes() else 0
        return unknown - 1 if self._contained and self._computes() else unknown

    def _is_ours(self, pid: int) -> bool:
        if pid not in self._ours:
            self._ours[pid] = os.getpid() in _ancestors(pid)
        return self._ours[pid]

    def _computes(self) -> bool:
        return self._computing if self._computing is not None else computes_here()


def computes_here() -> bool:
    """Whether this process uses CUDA, through whatever library."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return True
    # NVML alone never opens the device for CUDA's unified memory.
    try:
        return any(_target(link) == _CUDA_MEMORY_DEVICE for link in (_PROC / "self" / "fd").iterdir())
    except OSError:
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _in_container() -> bool:
    try:
        return (_PROC / "self" / "ns" / "pid").stat().st_ino != _FIRST_NAMESPACE
    except OSError:
        return False


def _ancestors(pid: int) -> list[int]:
    found: list[int] = []
    while pid > 1 and pid not in found:
        found.append(pid)
        try:
            status = (_PROC / str(pid) / "stat").read_text(errors="replace")
        except OSError:
            break
        # The second field is the program's name, which may hold blanks and brackets.
        pid = int(status.rpartition(")")[2].split()[1])
    return found[1:]

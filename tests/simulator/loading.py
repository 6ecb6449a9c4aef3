"""Loads the simulated library, and knows the arguments of its own functions (library/control.c)."""

from __future__ import annotations

import ctypes
import math
from ctypes import POINTER, c_char_p, c_double, c_int, c_long, c_size_t, c_uint, c_ulonglong
from typing import Any

from tests.simulator.building import SONAME, Adoption, build

NOW = math.nan
REFUSALS = {
    -1: "there is no such board",
    -2: "a value is out of its range",
    -3: "no room is left: the truth would be lost",
    -4: "the moment lies in the past, in the future, or time does not stand still",
    -5: "there is no such name",
    -6: "a counter reset is already planned",
}
_NUMBER = c_double
_SIGNATURES: dict[str, list[Any]] = {
    "sim_reset": [c_int],
    "sim_absent": [],
    "sim_now": [],
    "sim_virtual": [c_int],
    "sim_advance": [_NUMBER],
    "sim_calls": [c_char_p],
    "sim_fail": [c_char_p, c_int, c_int, _NUMBER, c_long],
    "sim_heal": [],
    "sim_driver": [c_char_p],
    "sim_power": [c_int, _NUMBER, _NUMBER],
    "sim_square": [c_int, *[_NUMBER] * 6],
    "sim_ramp": [c_int, *[_NUMBER] * 4],
    "sim_trace": [c_int, c_size_t, POINTER(_NUMBER), POINTER(_NUMBER)],
    "sim_joules": [c_int, _NUMBER, _NUMBER, POINTER(_NUMBER)],
    "sim_true_power": [c_int, POINTER(_NUMBER)],
    "sim_set": [c_int, c_char_p, _NUMBER],
    "sim_set_text": [c_int, c_char_p, c_char_p],
    "sim_text": [c_int, c_int, c_char_p, c_size_t],
    "sim_reset_counter": [c_int, _NUMBER],
    "sim_line": [c_int, c_int, _NUMBER, _NUMBER],
    "sim_line_value": [c_int, c_int, POINTER(_NUMBER)],
    "sim_reasons": [c_int, c_ulonglong],
    "sim_violate": [c_int, c_int, _NUMBER],
    "sim_forget_processes": [c_int],
    "sim_process": [c_int, c_uint, c_int, c_ulonglong],
}


class SimulatorError(RuntimeError):
    """The simulator refused what a test asked for."""


class Library:
    """The loaded library: once for pynvml, once for us.

    Ours keeps Python's interpreter lock during a call: marking a phase then takes a microsecond and cannot
    lose its turn to another thread.
    """

    loaded: Library | None = None

    def __init__(self) -> None:
        path = str(build() / SONAME)
        self.shared = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        self.quick = ctypes.PyDLL(path)
        self.adoption = Adoption()
        for name, arguments in _SIGNATURES.items():
            function = getattr(self.quick, name)
            function.argtypes = arguments
            function.restype = c_int
        self.quick.sim_now.restype = _NUMBER
        self.quick.sim_calls.restype = c_long
        self.quick.sim_absent.restype = self.quick.sim_heal.restype = None

    @classmethod
    def get(cls) -> Library:
        """The library, loaded at the first call."""
        if cls.loaded is None:
            cls.loaded = cls()
        return cls.loaded


def check(code: int, about: object) -> None:
    """Raises SimulatorError for a refusal."""
    if code:
        raise SimulatorError(f"{about}: {REFUSALS.get(code, code)}")


def moment(at: float | None) -> float:
    """A moment as the library takes it; None is now."""
    return NOW if at is None else at


def exported(library: Library, function: str) -> None:
    """Refuses names of functions that the library does not have: they would never fail."""
    names = [function, f"{function}_v2", f"{function}_v3"]
    if not any(hasattr(library.shared, name) for name in names):
        raise SimulatorError(f"the simulator has no function {function}")


def fail(
    library: Library, function: str, board: int, code: int | str, at: float | None, count: int | None
) -> None:
    """Adds a rule; `board` -1 stands for all, and for the functions that concern none."""
    import pynvml

    exported(library, function)
    if function in ("nvmlInit", "nvmlInit_v2"):
        function = "nvmlInitWithFlags"
    number = code if isinstance(code, int) else int(getattr(pynvml, f"NVML_ERROR_{code}"))
    left = -1 if count is None else count
    check(library.quick.sim_fail(function.encode(), board, number, moment(at), left), function)

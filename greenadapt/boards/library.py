"""NVML opened for a while, and asked in two ways: where silence is an answer, and where it is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from greenadapt.errors import MeasurementError


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
        ask(library, library.nvmlShutdown)


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


def failures(library: Any) -> tuple[type[Exception], ...]:
    """What a question to NVML may raise."""
    # With a driver older than the module, some questions fail with an error of another family; a module
    # older than the question has no such function.
    return (
        library.NVMLError,
        getattr(library, "NVMLLibraryMismatchError", library.NVMLError),
        AttributeError,
    )


def silences(library: Any) -> tuple[type[Exception], ...]:
    """Those `failures` that say that this board or driver has no answer to give, now or later."""
    return (
        library.NVMLError_NotSupported,
        library.NVMLError_FunctionNotFound,
        library.NVMLError_NoPermission,
        AttributeError,
        getattr(library, "NVMLLibraryMismatchError", library.NVMLError_NotSupported),
    )


def ask(library: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, or None where NVML gives none."""
    try:
        return question(*arguments)
    except failures(library):
        return None


def told(library: Any, what: str, question: Callable[..., Any], *arguments: Any) -> Any:
    """The answer, which is needed.

    Raises:
        MeasurementError: NVML does not give it.
    """
    try:
        return question(*arguments)
    except failures(library) as error:
        raise MeasurementError(
            f"NVML does not tell {what}.",
            f"NVML says: {error}.",
            "Run nvidia-smi: if it fails too, the driver needs a restart.",
        ) from error


def text(value: Any) -> Any:
    """What older modules give as bytes, as text."""
    return value.decode() if isinstance(value, bytes) else value

"""Compiles the simulated library, once per machine and source, and puts it where pynvml looks.

    source -> hash -> <temp dir>/greenadapt-simulator-<user>-<hash>/   libnvidia-ml.so.1   bin/nvidia-smi

The folder appears whole or not at all (built beside, then renamed), so test workers may all build at once.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).parent / "library"
_FLAGS = ["-std=gnu11", "-O2", "-fvisibility=hidden", "-shared", "-fPIC", "-Wl,-soname,libnvidia-ml.so.1"]
SONAME = "libnvidia-ml.so.1"


class BuildError(RuntimeError):
    """The compiler refused; says what it said."""


def compiler() -> str | None:
    """The C compiler's path, or None."""
    return shutil.which(os.environ.get("CC", "cc")) or shutil.which("cc") or shutil.which("gcc")


def why_not() -> str | None:
    """None if the library can be built here, else the reason."""
    if not sys.platform.startswith("linux"):
        return "the NVML simulator needs Linux"
    return None if compiler() else "the NVML simulator needs a C compiler (cc)"


def build() -> Path:
    """The folder with the library and ``bin/nvidia-smi``; built if it is not there yet.

    Raises:
        BuildError: There is no compiler, it refused, or somebody else owns the folder.
    """
    reason = why_not()
    if reason:
        raise BuildError(reason)
    sources = sorted(_SOURCE.glob("*.[ch]"))
    digest = hashlib.sha256("\n".join([str(compiler()), platform.machine(), *_FLAGS]).encode())
    for source in sources:
        digest.update(source.name.encode() + source.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"greenadapt-simulator-{os.getuid()}-{digest.hexdigest()[:16]}"
    if not folder.is_dir():
        _build_into(folder)
    if folder.stat().st_uid != os.getuid():
        raise BuildError(f"{folder} belongs to another user")
    return folder


def _build_into(folder: Path) -> None:
    fresh = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        sources = [str(path) for path in sorted(_SOURCE.glob("*.c"))]
        command = [str(compiler()), *_FLAGS, *sources, "-o", str(fresh / SONAME), "-lm", "-lpthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BuildError(f"{' '.join(command)}\n{done.stderr}")
        script = fresh / "bin" / "nvidia-smi"
        script.parent.mkdir()
        script.write_text("#!/bin/sh\nexit 0\n")
        script.chmod(0o755)
        fresh.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another worker was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


class Adoption:
    """Makes pynvml use the simulated library in this process, whatever it has loaded before.

    pynvml keeps its library and the functions it has looked up in module globals; on a machine with a driver
    they are not ours.
    """

    def __init__(self) -> None:
        self._before: tuple[Any, dict[str, Any], int] | None = None

    def take(self, library: ctypes.CDLL) -> None:
        """Puts the simulated library in; keeps what was there."""
        import pynvml

        if self._before is None:
            kept = pynvml._nvmlGetFunctionPointer_cache
            self._before = (pynvml.nvmlLib, dict(kept), pynvml._nvmlLib_refcount)
        pynvml.nvmlLib = library
        pynvml._nvmlGetFunctionPointer_cache.clear()

    def give_back(self) -> None:
        """Puts back what was there."""
        if self._before is None:
            return
        import pynvml

        pynvml.nvmlLib, kept, pynvml._nvmlLib_refcount = self._before
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml._nvmlGetFunctionPointer_cache.update(kept)
        self._before = None

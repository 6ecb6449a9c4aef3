"""What the commands of this folder share: the machine, rounding, what is said meanwhile."""

from __future__ import annotations

import platform
import sys
from typing import Any

from greenadapt.machine import cpu_name


def machine() -> dict[str, Any]:
    """The processor and the system of this machine."""
    return {"processor": cpu_name(), "system": f"{platform.system()} {platform.release()}"}


def rounded(thing: Any) -> Any:
    """JSON with six digits of each number with a fraction."""
    if isinstance(thing, float):
        return float(f"{thing:.6g}")
    if isinstance(thing, dict):
        return {key: rounded(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [rounded(value) for value in thing]
    return thing


def say(message: str, fraction: float) -> None:
    """Progress of a training or an audit on stderr: steps that are done, without those under way."""
    if not message.endswith("…"):
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()

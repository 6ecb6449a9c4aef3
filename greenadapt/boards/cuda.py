"""What torch knows of CUDA's boards, where CUDA works."""

from __future__ import annotations

import sys


def initialised() -> bool:
    """Whether torch has started CUDA already, and with it read the environment for good."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


def uuids() -> list[str] | None:
    """UUIDs of torch's boards in CUDA's order, without prefix; None where torch's CUDA does not work.

    Starts CUDA where it can be started, since only CUDA itself knows its order for certain.
    """
    import torch

    try:
        if not torch.cuda.is_available():
            return None
        count = torch.cuda.device_count()
        return [str(torch.cuda.get_device_properties(number).uuid) for number in range(count)]
    except (AssertionError, RuntimeError, AttributeError):
        # Without a working driver, or with a torch built for other boards, torch knows nothing of them.
        return None

"""Where a training stands after an epoch, on disk: tensors, numbers and text; no pickle is trusted."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from greenadapt.errors import TrainingError
from greenadapt.storage import write_bytes


def write(path: str | Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint whole or not at all, with the state of torch's random numbers.

    Raises:
        StorageError: It cannot be written; the one before stays.
    """
    import torch

    buffer = io.BytesIO()
    boards = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    torch.save({**state, "random": torch.get_rng_state(), "random_boards": boards}, buffer)
    write_bytes(path, buffer.getvalue())


def read(path: str | Path, settings: str) -> dict[str, Any]:
    """Reads a checkpoint and restores torch's random numbers.

    Args:
        path: The file.
        settings: JSON of the settings of the training that wants to resume.

    Raises:
        TrainingError: There is none, it cannot be read, or it belongs to a training with other settings.
    """
    import torch

    if not Path(path).is_file():
        raise TrainingError(
            "There is no training to resume.",
            f"{path} does not exist.",
            "Start it without resume (--resume).",
        )
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        theirs = json.loads(state["settings"])
    except Exception as error:  # torch.load raises whatever the broken file provokes
        raise TrainingError(
            f"The checkpoint {path} cannot be read.",
            f"{type(error).__name__}: {error}",
            "Start again without it.",
        ) from error
    ours = json.loads(settings)
    # Those of earlier versions name the weights that they began with instead.
    if theirs.pop("weights", None) is not None:
        theirs["network"] = ours.get("network")
    changed = [
        f"{name} {theirs.get(name)} => {ours.get(name)}"
        for name in {**theirs, **ours}
        if theirs.get(name) != ours.get(name)
    ]
    if changed:
        raise TrainingError(
            "The checkpoint belongs to a training with other settings.",
            ", ".join(changed) + ".",
            "Resume with the same settings, or start again without it.",
        )
    torch.set_rng_state(state["random"])
    if len(state["random_boards"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["random_boards"])
    return state

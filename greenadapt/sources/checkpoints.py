"""Read a file of weights without running code from it.

A checkpoint of PyTorch's own format is a pickle, and a pickle can do anything as it is read. torch's
restricted reader knows tensors and plain containers only; whatever else a file asks for, it is refused.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenadapt.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

_HOLDERS = ("state_dict_ema", "model_ema", "state_dict", "model")
"""Where training scripts put the state dict beside everything else, the averaged one first."""
_CALLABLE = re.compile(r"GLOBAL (\S+)")
_AGAIN = "Take it from where it came from again, best as a safetensors file."
_SHOWN = 5


def read_tensors(file: Path, label: str) -> dict[str, Tensor]:
    """Reads a checkpoint, a safetensors file or one of PyTorch's own format.

    Args:
        file: The checkpoint: a state dict, or a dict with one under ``state_dict`` or ``model``.
        label: How to name the network in an error.

    Returns:
        Tensors on the CPU by name, without the ``module.`` or ``_orig_mod.`` of a wrapped network.

    Raises:
        ModelError: The file cannot be read, it would run code, or it holds no tensors.
    """
    content = _read_safetensors(file, label) if file.suffix == ".safetensors" else _unpickled(file, label)
    for key in _HOLDERS:
        if isinstance(content, dict) and isinstance(content.get(key), Mapping):
            content = content[key]
    tensors = _tensors_of(content)
    if not tensors:
        raise ModelError(f"The weights of {label} cannot be read.", f"{file.name} {_what(content)}.", _AGAIN)
    return {
        name.removeprefix("_orig_mod.").removeprefix("module."): tensor for name, tensor in tensors.items()
    }


def _read_safetensors(file: Path, label: str) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file))
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, label, error) from error


def _unpickled(file: Path, label: str) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = _CALLABLE.search(str(error))
        if asked is None:
            raise _unreadable(file, label, error) from error
        raise ModelError(
            f"The weights of {label} cannot be read.",
            f"{file.name} is a pickle that would call {asked[1]}; it was not run.",
            "Ask whoever made it for the tensors alone, best as a safetensors file.",
        ) from error
    # A pickle that is cut off or no pickle at all fails in many ways.
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, struct.error) as error:
        raise _unreadable(file, label, error) from error


def _tensors_of(content: Any) -> dict[str, Tensor]:
    from torch import Tensor

    if not isinstance(content, Mapping):
        return {}
    return {
        name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)
    }


def _unreadable(file: Path, label: str, error: Exception) -> ModelError:
    # torch's own words for a broken pickle advise to read it without the restriction; those of what stumbles
    # over a file of another kind say nothing.
    broken = not isinstance(error, (OSError, RuntimeError)) or not str(error)
    reason = "it is incomplete, or no checkpoint" if broken else str(error).splitlines()[0]
    return ModelError(f"The weights of {label} cannot be read.", f"{file.name}: {reason}", _AGAIN)


def _what(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"holds a {type(content).__name__}, no state dict"
    if not content:
        return "holds nothing"
    return f"holds no tensors by name, but {', '.join(map(str, list(content)[:_SHOWN]))}"

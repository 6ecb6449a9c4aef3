"""Build a timm network around a file of weights that is already on this disk.

Fetching is left out of it on purpose: the sources know where their files are and what to say when they
cannot be had. Weights are read by timm from safetensors, else by `greenadapt.sources.checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm

import greenadapt.zoo  # noqa: F401  (registers its networks with timm)
from greenadapt.errors import ModelError, OptionError
from greenadapt.sources.checkpoints import read_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth")
"""Names of weight files, in the order of preference."""

_READ_BY_TIMM = {".safetensors", ".npz"}
_SHOWN = 3


def build(
    name: str, weights: Path | Mapping[str, Tensor] | None, model_args: Mapping[str, Any], label: str
) -> nn.Module:
    """Builds a network with timm.

    Args:
        name: A name that timm can build without a network: one of its own, or ``local-dir:FOLDER``.
        weights: File of weights or state dict; None leaves the weights random.
        model_args: Keyword arguments for the network, such as ``num_classes``.
        label: How to name the network in an error.

    Returns:
        The network in eval mode. Its ``pretrained_cfg`` names no file of this machine.

    Raises:
        ModelError: The weights do not fit or cannot be read.
        OptionError: The network does not take these arguments.
    """
    overlay = None if weights is None else {"source": None, **_weights_overlay(weights, label)}
    try:
        model: nn.Module = timm.create_model(
            name, pretrained=weights is not None, pretrained_cfg_overlay=overlay, **model_args
        )
    except RuntimeError as error:
        raise misfit(label, error) from error
    except (TypeError, ValueError, AssertionError) as error:
        raise _refused(label, model_args, error) from error
    for key in ("file", "state_dict"):
        model.pretrained_cfg.pop(key, None)  # type: ignore[operator,union-attr]
    return model.eval()


def _weights_overlay(weights: Path | Mapping[str, Tensor], label: str) -> dict[str, Any]:
    if not isinstance(weights, Path):
        return {"state_dict": dict(weights)}
    if weights.suffix in _READ_BY_TIMM:
        return {"file": str(weights)}
    return {"state_dict": read_tensors(weights, label)}


def first_few(names: Iterable[str]) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def misfit(
    label: str, error: RuntimeError, todo: str = "Leave out the model arguments that change its shape."
) -> ModelError:
    """Turns torch's report of every key into a sentence of the first few.

    Args:
        label: How to name the network.
        error: What ``load_state_dict`` raised.
        todo: What the user can do about it.
    """
    text = str(error)
    lists = {
        "missing": _quoted(text, r"Missing key\(s\) in state_dict: (.*)"),
        "unexpected": _quoted(text, r"Unexpected key\(s\) in state_dict: (.*)"),
        "of another shape": [
            f"{name} is ({found}), not ({expected})"
            for name, found, expected in re.findall(
                r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([\d, ]*)\]\)"
                r" from checkpoint, the shape in current model is torch\.Size\(\[([\d, ]*)\]\)",
                text,
            )
        ],
    }
    faults = "; ".join(f"{what}: {first_few(names)}" for what, names in lists.items() if names)
    if faults:
        return ModelError(
            f"The weights do not fit {label}.",
            f"{faults}.",
            todo,
        )
    return ModelError(
        f"{label} cannot be opened.",
        text.splitlines()[0] if text else "",
        "Check the name and the model arguments.",
    )


def _quoted(text: str, pattern: str) -> list[str]:
    found = re.search(pattern, text)
    return re.findall(r'"([^"]+)"', found.group(1)) if found else []


def _refused(label: str, model_args: Mapping[str, Any], error: Exception) -> OptionError:
    given = ", ".join(f"{key}={value!r}" for key, value in model_args.items()) or "none"
    reason = " ".join(str(error).split()) or type(error).__name__
    return OptionError(
        f"{label} cannot be built with these model arguments.",
        f"Given: {given}. {reason}",
        "Pass only arguments that the network takes, such as num_classes and in_chans.",
    )

"""``local-dir:``: a folder on this disk, in timm's format or saved by greenadapt.

In timm's format, as ``timm.models.save_for_hf`` writes it, a folder holds ``config.json`` (architecture,
arguments, classes) and a file of weights. What greenadapt saved is opened by `greenadapt.load`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenadapt.errors import ModelError, did_you_mean
from greenadapt.recipe import Base
from greenadapt.sources.building import WEIGHT_FILES, build, first_few
from greenadapt.sources.timm import check_architecture
from greenadapt.storage import TIMM_FILE, is_model_folder

if TYPE_CHECKING:
    from torch import nn


class FolderSource:
    """Folders on this disk; a `greenadapt.interfaces.ModelSource`."""

    def names(self, pattern: str = "*") -> list[str]:
        """Nothing: the disk is not searched."""
        return []

    def resolve_folder(self, name: str) -> Path | None:
        """The folder if greenadapt saved it, None for one in timm's format."""
        folder = Path(name).expanduser()
        return folder if is_model_folder(folder) else None

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Builds the network of a folder in timm's format, in eval mode.

        Raises:
            ModelError: No such folder, it holds no network, or its weights do not fit.
            OptionError: The network does not take these arguments.
        """
        folder = Path(name).expanduser()
        if not folder.is_dir():
            raise _no_folder(folder)
        label = f"local-dir:{name}"
        _config(folder, label)  # what is no network at all is to be told as such, not as one without weights
        weights = _weights_file(folder) if pretrained else None
        return open_timm_folder(folder, weights, model_args, label)


def open_timm_folder(
    folder: Path, weights: Path | None, model_args: Mapping[str, Any], label: str
) -> nn.Module:
    """Builds the network that a ``config.json`` describes.

    Args:
        folder: Where that file is.
        weights: File of weights; None leaves them random.
        model_args: Keyword arguments for the network; they prevail over those of the file.
        label: How to name the network in an error.

    Returns:
        The network in eval mode. What builds it again without the folder is in its attribute
        ``greenadapt_base``, a `greenadapt.recipe.Base`.

    Raises:
        ModelError: The file is none of timm's, or the weights do not fit.
        OptionError: The network does not take these arguments.
    """
    config = _config(folder, label)
    check_architecture(config["architecture"])
    model = build(f"local-dir:{folder}", weights, model_args, label)
    if weights is not None:
        _check_filled(model, weights, label)
    arguments = {"num_classes": model.num_classes, **config.get("model_args", {}), **model_args}
    model.greenadapt_base = Base(  # type: ignore[assignment]
        name=config["architecture"],
        model_args=arguments,
        weights="random" if weights is None else "pretrained",
    )
    return model


def _config(folder: Path, label: str) -> dict[str, Any]:
    file = folder / TIMM_FILE
    todo = "Name a folder that timm or greenadapt saved a network in."
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        there = first_few(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise ModelError(
            f"{label} holds no network.", f"There is no {TIMM_FILE} in it; it holds {there}.", todo
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{label} cannot be opened.", f"{TIMM_FILE} cannot be read: {error}.", todo
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("architecture"), str):
        raise ModelError(f"{label} cannot be opened.", f"{TIMM_FILE} names no architecture.", todo)
    return content


def _weights_file(folder: Path) -> Path:
    others = sorted(folder.glob("*.safetensors"))
    known = [folder / name for name in WEIGHT_FILES if (folder / name).is_file()]
    if known:
        return known[0]
    if len(others) == 1:
        return others[0]
    seen = f"It holds {first_few([path.name for path in others])}." if others else "It holds no such file."
    raise ModelError(
        f"local-dir:{folder} has no weights that can be told for its network's.",
        f"Looked for {', '.join(WEIGHT_FILES)}. {seen}",
        "Rename the file of weights, or pass --no-pretrained (pretrained=False) for random weights.",
    )


def _check_filled(model: nn.Module, weights: Path, label: str) -> None:
    """Refuses weights that leave a layer random; the classifier may be new.

    timm loads without asking for every key as soon as the number of classes is another.
    """
    if weights.suffix != ".safetensors":
        return
    from safetensors import safe_open

    with safe_open(weights, framework="pt") as file:
        found = set(file.keys())
    heads = model.pretrained_cfg.get("classifier") or ()  # type: ignore[operator,union-attr]
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    new = {f"{head}.{part}" for head in heads for part in ("weight", "bias")}
    missing = [key for key in model.state_dict() if key not in found | new]
    if missing:
        raise ModelError(
            f"The weights do not fit {label}.",
            f"missing: {first_few(missing)}.",
            "Use the weights that belong to this config.json.",
        )


def _no_folder(folder: Path) -> ModelError:
    parent = folder.parent
    siblings = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    seen = "It is a file." if folder.exists() else "There is nothing of that name."
    return ModelError(
        f"There is no folder {folder}.",
        seen,
        did_you_mean(folder.name, siblings) or "Name a folder that timm or greenadapt saved a network in.",
    )


source = FolderSource()

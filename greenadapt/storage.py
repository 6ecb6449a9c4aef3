"""Files and folders that are written whole or not at all, and never as a pickle.

A saved model is a folder:

    model.safetensors    every tensor of the state dict
    greenadapt.json      the recipe: base, adapter, options, trainings
    config.json          names an architecture that only greenadapt has, so that timm alone refuses it by name
    profile.json         the efficiency profile, where one was given
    README.md            the model card

Everything is first written under a temporary name beside its place and then renamed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from greenadapt.errors import RecipeError, StorageError
from greenadapt.recipe import Recipe, parse_recipe

if TYPE_CHECKING:
    from torch import Tensor

RECIPE_FILE = "greenadapt.json"
WEIGHTS_FILE = "model.safetensors"
PROFILE_FILE = "profile.json"
CARD_FILE = "README.md"
TIMM_FILE = "config.json"


def write_text(path: Path | str, text: str) -> Path:
    """Writes a text file, whole or not at all; see `write_bytes`."""
    return write_bytes(path, text.encode())


def write_bytes(path: Path | str, data: bytes) -> Path:
    """Writes a file under a temporary name and renames it, so that a reader never sees half of it.

    Args:
        path: Where to; missing parent folders are made.
        data: The content.

    Raises:
        StorageError: The disk is full or the folder cannot be written; what was there before stays.
    """
    path = Path(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def check_place(path: Path | str) -> Path:
    """Finds out before the work, not after it, that a file can be written; leaves nothing behind.

    What the permissions say is no answer: root passes them all, and a full or read-only disk has them too.
    So an empty file is made and taken away again.

    Args:
        path: Where a file or a folder is to be written; what is missing of its parents can be made.

    Raises:
        StorageError: It, or a parent, is no folder or cannot be written.
    """
    path = Path(path)
    place = path.absolute()
    _try_out(place if place.is_dir() else _nearest(place), path)
    return path


def _nearest(place: Path) -> Path:
    """The innermost parent that is there."""
    return next(each for each in place.parents if each.exists())


def _try_out(parent: Path, path: Path) -> None:
    probe = parent / f".{uuid.uuid4().hex[:8]}.part"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        seen = f"{parent}: {error.strerror or error}." if parent.is_dir() else f"{parent} is no folder."
        raise StorageError(f"Cannot write {path}.", seen, "Choose a folder that you may write to.") from error


def check_writable(folder: Path | str, overwrite: bool = False) -> Path:
    """Finds out before the work, not after it, that a model can be saved in a folder; leaves nothing behind.

    Args:
        folder: Where a model is to be saved.
        overwrite: Whether a model that is there already may be replaced.

    Raises:
        StorageError: The folder holds something else, or a model that must not be replaced, or its
            parent cannot be written.
    """
    folder = Path(folder)
    if folder.is_symlink():
        # Renaming would put a folder in the link's place, and fill the wrong disk.
        folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not (folder / RECIPE_FILE).is_file():
            raise StorageError(
                f"Cannot save a model in {folder}.",
                "Something else is there, and no greenadapt model.",
                "Choose a new or empty folder.",
            )
        if not overwrite:
            raise StorageError(
                f"Cannot save a model in {folder}.",
                "A saved model is there already.",
                "Choose another folder, or pass overwrite=True (--overwrite).",
            )
    # A saved folder takes the place of another by renaming, for which the one around it must be writable.
    _try_out(_nearest(folder.absolute()), folder)
    return folder


def write_folder(folder: Path | str, files: Mapping[str, bytes], overwrite: bool = False) -> Path:
    """Writes a folder of files, whole or not at all.

    Args:
        folder: Where to.
        files: Contents by file name.
        overwrite: Whether a saved model that is there already may be replaced.

    Raises:
        StorageError: As for `check_writable`, or the disk is full; what was there before stays.
    """
    folder = check_writable(folder, overwrite)
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.part")
    old = new.with_suffix(".old")
    with _explained(folder):
        try:
            new.mkdir(parents=True)
            for name, data in files.items():
                (new / name).write_bytes(data)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        except OSError:
            if old.exists() and not folder.exists():
                old.rename(folder)
            raise
        finally:
            shutil.rmtree(new, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return folder


def model_files(tensors: Mapping[str, Tensor], recipe: Recipe) -> dict[str, bytes]:
    """The files of a saved model but for its card and profile, by name.

    Args:
        tensors: The state dict.
        recipe: What was done to the model.
    """
    from safetensors.torch import save

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    files = {WEIGHTS_FILE: save(flat), RECIPE_FILE: recipe.to_json().encode()}
    if recipe.adapter is not None:
        refusal = {"architecture": architecture_name(recipe.base.name, recipe.adapter)}
        files[TIMM_FILE] = (json.dumps(refusal, indent=2) + "\n").encode()
    return files


def architecture_name(base: str, adapter: str) -> str:
    """The architecture of a retrofit as timm sees it: a name it does not know, which says what to do."""
    return f"{base}+{adapter} (pip install greenadapt, then greenadapt.load)"


def is_model_folder(path: Path | str) -> bool:
    """Whether greenadapt saved a model there."""
    return (Path(path) / RECIPE_FILE).is_file()


def read_recipe(folder: Path | str) -> Recipe:
    """The recipe of a saved model.

    Raises:
        StorageError: There is no saved model.
        RecipeError: The recipe cannot be read, or is newer than this greenadapt.
    """
    path = Path(folder) / RECIPE_FILE
    if Path(folder).is_file():
        raise StorageError(
            f"{folder} is a file, no folder of a saved model.",
            "What greenadapt.save writes is a folder.",
            f"A checkpoint of the Big-Little authors opens as ibm:{folder}.",
        )
    if not path.is_file():
        raise StorageError(
            f"{folder} holds no saved model.",
            f"There is no {RECIPE_FILE} in it.",
            "Name a folder written by greenadapt.save, wrap or finetune.",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{path} cannot be read.", f"{error}.", "Save the model again with greenadapt.save."
        ) from error
    return parse_recipe(text, str(path))


def read_tensors(folder: Path | str) -> dict[str, Tensor]:
    """The tensors of a saved model, on the CPU.

    Raises:
        StorageError: The file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = Path(folder) / WEIGHTS_FILE
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"The weights in {folder} cannot be read.",
            f"{WEIGHTS_FILE}: {error}.",
            "Copy the folder again, or save the model again.",
        ) from error


def weights_sha256(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a state dict: name, type, shape and bytes of every tensor, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor_bytes(tensor))
    return digest.hexdigest()


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor in the order of its elements."""
    import torch

    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}.",
            f"{error.strerror or error}.",
            "Free some space or choose a folder that you may write to; nothing was changed.",
        ) from error

"""Images in files: class folders, or a list of labels, in a folder or a zip.

root/[split/]CLASS/...image           the classes are the folders' names in order
root/[split/]labels.csv               columns: file, and label_0based or label (whole numbers from 0)
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from greenadapt.data.base import Images, View
from greenadapt.data.store import Store
from greenadapt.errors import DataError

__all__ = ["ImageFiles", "Sample", "open_files"]

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_SPLITS = ("train", "val", "validation", "test")
_MEANT = {
    "test": ("test", "val", "validation"),
    "val": ("val", "validation"),
    "validation": ("validation", "val"),
}
# Below this side the images are thumbnails: they are shifted like CIFAR's instead of cropped like ImageNet's.
_THUMBNAIL = 96
# Reading more files than this before the work begins would take minutes; they are checked as they come.
_CHECK_FIRST = 20_000


@dataclass(frozen=True)
class Sample:
    """One image: its path in the store, and its class counted from 0."""

    path: str
    label: int


class ImageFiles(Images):
    """Labelled images in files, decoded when they are asked for.

    Args:
        store: Where the files lie.
        samples: Which of them, with their labels.
        classes: How many classes.
        name: What the data are called.
        split: Which part of them this is.
        skip_unreadable: Leave out files that cannot be decoded and list them in ``skipped``.
        view: How the images are to be seen. Without a size, that of the first image where it is below 96
            pixels, else 224. Large images are scaled to size / crop_pct and cropped; thumbnails to size.

    Raises:
        DataError: A file cannot be decoded and is not to be skipped, or no image is left.
    """

    def __init__(
        self,
        store: Store,
        samples: Sequence[Sample],
        *,
        classes: int,
        name: str,
        split: str,
        skip_unreadable: bool = False,
        view: View | None = None,
    ) -> None:
        view = view or View()
        self.store = store
        broken = _unreadable(store, samples) if skip_unreadable or len(samples) <= _CHECK_FIRST else {}
        if broken and not skip_unreadable:
            raise _unreadable_error(*next(iter(broken.items())), more=len(broken) - 1)
        self.samples = [sample for sample in samples if sample.path not in broken]
        if not self.samples:
            seen = f"{len(samples)} listed, {len(broken)} unreadable"
            raise DataError(f"There are no images in {name!r}.", seen, _LAYOUT)
        labels = torch.tensor([sample.label for sample in self.samples])
        super().__init__(labels, name=name, split=split, classes=classes, stored_channels=3, view=view)
        self.skipped = tuple(broken)
        self.size = view.size or self._default_size()

    def _default_size(self) -> int:
        side = min(self._decode(self.samples[0].path).size)
        return side if side < _THUMBNAIL else 224

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the paths, sizes in bytes and labels."""
        digest = hashlib.sha256()
        for sample in self.samples:
            digest.update(f"{sample.path}\0{self.store.sizes.get(sample.path, 0)}\0{sample.label}\n".encode())
        return digest.hexdigest()

    def _padding(self, size: int) -> int:
        return super()._padding(size) if size < _THUMBNAIL else 0

    def _decode(self, path: str) -> Image.Image:
        try:
            return _decode(self.store.read(path))
        except _BROKEN as error:
            raise _unreadable_error(path, str(error)) from error

    def _pixels(self, indices: Sequence[int]) -> Tensor:
        corners = torch.full((len(indices), 2), 0.5)
        if self.view.augment:
            corners = self.draws(indices)[:, :2]
        margin = 1.0 if self.size < _THUMBNAIL else 1 / (self.view.crop_pct or 0.875)
        return torch.stack(
            [
                _crop(self._decode(self.samples[index].path), self.size, margin, down, right)
                for index, (down, right) in zip(indices, corners.tolist(), strict=True)
            ]
        )


_LAYOUT = "Give a folder with one folder of images for each class, or with a labels.csv."
_DEEP = "I"
"""How Pillow's modes begin that hold sixteen bits a pixel: "I;16" and its kin, and "I"."""
# Pillow raises any of these for a damaged file, according to its format.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError)


def _decode(data: bytes) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(data))
    if image.mode.startswith(_DEEP):
        # PIL's own conversion would clip sixteen bits to white.
        image = Image.fromarray((np.asarray(image).astype(np.uint32) // 257).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def _crop(image: Image.Image, size: int, margin: float, down: float, right: float) -> Tensor:
    """uint8 [3, size, size]: the shorter side scaled to size x margin, then a square cut out."""
    scale = round(size * margin) / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) * right), round((height - size) * down)
    return torch.from_numpy(np.array(image.crop((left, top, left + size, top + size)))).permute(2, 0, 1)


def _unreadable(store: Store, samples: Sequence[Sample]) -> dict[str, str]:
    """The files that cannot be decoded, in order, and why."""

    def why(sample: Sample) -> str | None:
        try:
            with Image.open(io.BytesIO(store.read(sample.path))) as image:
                # A JPEG can be decoded small, which still reads it to its end.
                image.draft("RGB", (32, 32))
                image.load()
        except _BROKEN as error:
            return str(error) or type(error).__name__
        return None

    with ThreadPoolExecutor(2) as pool:
        reasons = list(pool.map(why, samples))
    return {s.path: reason for s, reason in zip(samples, reasons, strict=True) if reason is not None}


def _unreadable_error(path: str, reason: str, more: int = 0) -> DataError:
    others = f" ({more} more unreadable files)" if more else ""
    todo = "Repair or remove it, or leave such files out with --skip-unreadable (skip_unreadable=True)."
    return DataError(f"The image {path} cannot be read.", f"{reason}{others}", todo)


def open_files(root: Path, *, split: str, limit: int | None, skip_unreadable: bool, view: View) -> ImageFiles:
    """The images of a folder or zip; see the module's docstring for the layouts.

    Args:
        root: The folder or the zip.
        split: Taken from the folder of that name, where the data are split; "test" may also be called "val".
        limit: Take at most so many: the first of a list, evenly spaced ones of class folders.
        skip_unreadable: Leave out files that cannot be decoded.
        view: How the images are to be seen.

    Raises:
        DataError: There are no images, no such split, or labels that are not whole numbers from 0.
    """
    store = Store(root)
    names: tuple[str, ...] = ()
    base, found_split = _find_split(store, root.name, split)
    if f"{base}labels.csv" in store.sizes:
        samples = list(_listed(store, base))
        classes = max((sample.label for sample in samples), default=-1) + 1
        samples = samples[:limit]
    else:
        samples, names = _class_folders(store, base)
        classes = len(names)
        if limit is not None and limit < len(samples):
            samples = [samples[i * len(samples) // limit] for i in range(limit)]
    images = ImageFiles(
        store,
        samples,
        classes=classes,
        name=root.stem if root.is_file() else root.name,
        split=found_split,
        skip_unreadable=skip_unreadable,
        view=view,
    )
    images.class_names = names
    return images


def _children(store: Store, base: str) -> list[str]:
    """The folders right below a prefix."""
    inside = (path[len(base) :] for path in store.folders if path.startswith(base))
    return sorted({path for path in inside if path and "/" not in path})


def _find_split(store: Store, name: str, split: str) -> tuple[str, str]:
    """The prefix of the paths of a split, and what the split is called there."""
    base = ""
    tops = _children(store, "")
    if len(tops) == 1 and tops[0] not in _SPLITS and all("/" in path for path in store.sizes):
        # A zip usually holds one folder with everything in it.
        inner = f"{tops[0]}/"
        if f"{inner}labels.csv" in store.sizes or _children(store, inner):
            base = inner
    present = [s for s in _SPLITS if s in _children(store, base)]
    if not present or f"{base}labels.csv" in store.sizes:
        return base, "all"
    for candidate in _MEANT.get(split, (split,)):
        if candidate in present:
            return f"{base}{candidate}/", candidate
    seen = f"Splits there: {', '.join(present)}."
    raise DataError(
        f"The data {name!r} have no split {split!r}.", seen, "Choose one of those: split=, or --split."
    )


def _class_folders(store: Store, base: str) -> tuple[list[Sample], tuple[str, ...]]:
    """The images, and what the classes are called in order."""
    # A class without an image still counts, or the numbers of those after it would shift.
    number = {name: i for i, name in enumerate(_children(store, base))}
    below = ((path, path[len(base) :].split("/")[0]) for path in store.sizes if path.startswith(base))
    samples = [
        Sample(path, number[name])
        for path, name in below
        if name in number and path.lower().endswith(_SUFFIXES)
    ]
    return samples, tuple(number)


def _listed(store: Store, base: str) -> Iterator[Sample]:
    where = f"{base}labels.csv"
    try:
        text = store.read(where).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{where} cannot be read.", str(error), "Save it as UTF-8 text.") from error
    rows = csv.DictReader(io.StringIO(text))
    columns = rows.fieldnames or []
    column = next((c for c in ("label_0based", "label") if c in columns), None)
    if "file" not in columns or column is None:
        seen = f"Columns there: {', '.join(columns)}."
        raise DataError(
            f"{where} cannot be used.", seen, "It needs the columns file and label_0based (or label)."
        )
    for line, row in enumerate(rows, start=2):
        label = (row[column] or "").strip()
        if not label.isdecimal() or len(label) > 9:
            seen = f"Line {line}: {column} = {label!r}"
            raise DataError(f"A label in {where} is out of range.", seen, "Labels are whole numbers from 0.")
        yield Sample(f"{base}{row['file']}", int(label))

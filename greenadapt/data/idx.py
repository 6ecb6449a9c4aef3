"""The idx format of MNIST and its successors: reading, and writing for the data that ship with the package.

    two zero bytes | type (8: unsigned byte) | number of dimensions | each, 4 bytes big-endian | the values

Source: Yann LeCun's description of the MNIST files. Files may be compressed with gzip.
"""

from __future__ import annotations

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Mapping
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from greenadapt.data.arrays import ImageArrays
from greenadapt.data.base import View
from greenadapt.errors import DataError

__all__ = ["encode_idx", "find_idx", "open_idx", "parse_idx"]

_NAME = re.compile(r"(train|t10k)-(images|labels)[-.]idx[13]-ubyte(\.gz)?")
_SPLITS = {"train": "train", "t10k": "test"}
_UNSIGNED_BYTE = 8

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
IdxFiles = dict[str, dict[str, Path | Traversable]]


def parse_idx(data: bytes, name: str) -> Bytes:
    """The array in an idx file.

    Args:
        data: The file's bytes, plain or compressed with gzip.
        name: What to call the file in an error.

    Raises:
        DataError: It is no idx file of unsigned bytes, or its end is missing.
    """
    todo = "Fetch the file again."
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"The file {name} cannot be unpacked.", str(error), todo) from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != _UNSIGNED_BYTE or not data[3]:
        raise DataError(f"The file {name} is no idx file of bytes.", f"It begins with {data[:4]!r}.", todo)
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise DataError(f"The file {name} is truncated.", f"{len(data)} bytes; its header has {start}.", todo)
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    if len(data) - start != math.prod(shape):
        seen = f"Its header promises {math.prod(shape)} values; {len(data) - start} follow."
        raise DataError(f"The file {name} is truncated or too long.", seen, todo)
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def encode_idx(values: Bytes) -> bytes:
    """The array as a gzip-compressed idx file, the same bytes whenever and wherever it is made."""
    header = struct.pack(f">2xBB{values.ndim}I", _UNSIGNED_BYTE, values.ndim, *values.shape)
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0) as packed:
        packed.write(header + values.tobytes())
    return out.getvalue()


def find_idx(folder: Path | Traversable) -> IdxFiles:
    """The idx files of a folder by split and kind; empty where there are none.

    Returns:
        For "train" and "test", as far as present, the files of "images" and "labels".
    """
    found: IdxFiles = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        match = _NAME.fullmatch(file.name)
        if match:
            found.setdefault(_SPLITS[match[1]], {})[match[2]] = file
    return found


def open_idx(
    files: Mapping[str, Mapping[str, Path | Traversable]],
    *,
    name: str,
    split: str,
    limit: int | None,
    view: View,
) -> ImageArrays:
    """The images of one split.

    Args:
        files: What `find_idx` found.
        name: What the data are called.
        split: "train" or "test".
        limit: Take the first so many images; None takes all.
        view: How the images are to be seen.

    Raises:
        DataError: The split or one of its files is missing, broken, or the two do not fit.
    """
    if split not in files:
        seen = f"Splits there: {', '.join(sorted(files))}."
        raise DataError(
            f"The data {name!r} have no split {split!r}.", seen, "Choose one of those: split=, or --split."
        )
    arrays = {}
    for kind, dimensions in (("images", 3), ("labels", 1)):
        file = files[split].get(kind)
        if file is None:
            seen = f"Only {', '.join(f.name for f in files[split].values())}."
            raise DataError(
                f"The {kind} of split {split!r} of {name!r} are missing.", seen, "Put the file beside it."
            )
        arrays[kind] = parse_idx(file.read_bytes(), file.name)
        if arrays[kind].ndim != dimensions:
            seen = f"It has {arrays[kind].ndim} dimensions instead of {dimensions}."
            raise DataError(f"The file {file.name} holds no {kind}.", seen, "Check which file is which.")
    images, labels = arrays["images"], arrays["labels"]
    if len(images) != len(labels):
        seen = f"{len(images)} images, {len(labels)} labels"
        raise DataError(f"Images and labels of {name!r} differ in number.", seen, "Fetch the files again.")
    return ImageArrays(
        torch.from_numpy(images[:limit].copy()).unsqueeze(1),
        torch.from_numpy(labels[:limit].astype(np.int64)),
        name=name,
        split=split,
        classes=int(labels.max(initial=0)) + 1,
        view=view,
    )

"""Where images and labels come from.

open_data("fashion-mnist-2000")       shipped with the package       -> ImageArrays
open_data("folder/with/idx-files")    train-images-idx3-ubyte[.gz]   -> ImageArrays   all in memory
open_data("folder/of/class/folders")  or with splits above them      -> ImageFiles    decoded when asked for
open_data("photos.zip")               with a labels.csv              -> ImageFiles

base      what all have in common: normalising, augmenting, the loader
arrays    images in memory            idx      the file format of MNIST
folders   images in files             store    a folder and a zip, read alike
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from greenadapt.data.arrays import ImageArrays
from greenadapt.data.base import Images, View
from greenadapt.data.folders import ImageFiles, open_files
from greenadapt.data.idx import find_idx, open_idx
from greenadapt.errors import DataError, OptionError, did_you_mean

__all__ = ["EMBEDDED", "ImageArrays", "ImageFiles", "Images", "View", "open_data"]

EMBEDDED = ("fashion-mnist-2000",)


def open_data(
    source: str | os.PathLike[str],
    *,
    split: str = "test",
    size: int | None = None,
    mean: Sequence[float] | float | None = None,
    std: Sequence[float] | float | None = None,
    limit: int | None = None,
    skip_unreadable: bool = False,
    augment: bool = False,
    in_chans: int | None = None,
    crop_pct: float | None = None,
) -> Images:
    """Open labelled images.

    Args:
        source: A folder, a zip, or the name of data that ship with the package.
        split: "train", "test" or "val". Data that are not split come whole and say so: ``split == "all"``.
        size: Side that the images are brought to, in pixels; None keeps it (or, for photos, is 224).
        mean: Mean that normalises each channel, of values in [0, 1]; None takes the data's own where known,
            else ImageNet's for colour and 0.5 for grey.
        std: Standard deviation, likewise.
        limit: At most so many images.
        skip_unreadable: Leave out files that cannot be decoded instead of raising; ``skipped`` lists them.
        augment: Shift (or crop at random) and mirror, for training.
        in_chans: 1 or 3: turn grey to colour or colour to grey.
        crop_pct: Share of the shorter side that the crop of a photo keeps; None is 0.875.

    Returns:
        The data; ``.loader(batch_size)`` gives batches.

    Raises:
        DataError: Nothing is there, or it cannot be read.
        OptionError: An option is out of range.
    """
    if limit is not None and limit < 1:
        raise OptionError("The limit is out of range.", f"limit={limit}", "Use 1 or more, or leave it out.")
    view = View(size, mean, std, augment, in_chans, crop_pct)
    name = os.fspath(source)
    path = Path(name)
    if not name or not path.exists():
        if name not in EMBEDDED:
            shipped = f"Shipped with greenadapt: {', '.join(EMBEDDED)}."
            todo = did_you_mean(name, EMBEDDED) or f"Give a folder or a zip. {shipped}"
            raise DataError(
                f"There are no data at {name!r}.", "It is no folder, no zip and no known name.", todo
            )
        folder = files("greenadapt") / "embedded" / name
        return open_idx(find_idx(folder), name=name, split=split, limit=limit, view=view)
    if path.is_dir():
        found = find_idx(path)
        if found:
            return open_idx(found, name=path.resolve().name, split=split, limit=limit, view=view)
    return open_files(path.resolve(), split=split, limit=limit, skip_unreadable=skip_unreadable, view=view)

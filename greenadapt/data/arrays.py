"""Images that are held in memory as one array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from greenadapt.data.base import Images, View
from greenadapt.errors import DataError

__all__ = ["ImageArrays"]


class ImageArrays(Images):
    """Labelled images in one array.

    Args:
        pixels: uint8 [N, c, H, W] with c = 1 or 3.
        labels: Class of each image [N], whole numbers from 0.
        name: What the data are called.
        split: Which part of them this is.
        classes: How many classes; None is the largest label plus one.
        view: How the images are to be seen.

    Raises:
        DataError: The array is of another kind, is empty, or a label is missing or out of range.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        *,
        name: str = "arrays",
        split: str = "all",
        classes: int | None = None,
        view: View | None = None,
    ) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
            seen = f"{pixels.dtype} of shape {tuple(pixels.shape)}"
            raise DataError("These are no images.", seen, "Give uint8 [N, 1 or 3, height, width].")
        if len(pixels) == 0:
            raise DataError(
                f"There are no images in {name!r}.", f"split {split!r}", "Check the files or the limit."
            )
        if len(pixels) != len(labels):
            seen = f"{len(pixels)} images, {len(labels)} labels"
            raise DataError(
                f"Images and labels of {name!r} differ in number.", seen, "Give one label for each image."
            )
        count = int(labels.max()) + 1 if classes is None else classes
        if int(labels.min()) < 0 or int(labels.max()) >= count:
            seen = f"labels from {int(labels.min())} to {int(labels.max())}, {count} classes"
            raise DataError(f"Labels of {name!r} are out of range.", seen, "Count the classes from 0.")
        view = view or View()
        stored = pixels.shape[1]
        super().__init__(labels, name=name, split=split, classes=count, stored_channels=stored, view=view)
        self.pixels = pixels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the shape, the pixels and the labels."""
        digest = hashlib.sha256(repr(tuple(self.pixels.shape)).encode())
        digest.update(self.pixels.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def _pixels(self, indices: Sequence[int]) -> Tensor:
        taken = torch.from_numpy(self.pixels.numpy()[list(indices)])
        size = self.view.size
        if size is None or taken.shape[2:] == (size, size):
            return taken
        return interpolate(taken, (size, size), mode="bilinear", antialias=True, align_corners=False)

"""What all image data have in common: normalised batches, repeatable augmentation, a loader.

    indices -> _pixels()  uint8 [B, c, H, W]   (each kind of data has its own)
            -> shift and mirror                only with augment=True
            -> channels, scale, normalise      float32 [B, C, H, W]

What an image undergoes depends on (seed, epoch, index of the image) and on nothing else: not on the batch it
is in nor on the batches before it. So a training that resumes at an epoch sees what it would have seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from greenadapt.errors import DataError, OptionError

__all__ = ["Images", "View"]

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_LUMA = np.array((0.299, 0.587, 0.114), np.float32).reshape(1, 3, 1, 1)

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class View:
    """How images are to be seen.

    Attributes:
        size: Side of the square that the images are brought to, in pixels; None leaves it to the data.
        mean: Mean of each channel, of values in [0, 1]; one number serves all channels.
        std: Standard deviation of each channel, likewise.
        augment: Shift (or crop at random) and mirror.
        in_chans: 1 or 3 channels; None keeps those of the data.
        crop_pct: Share of the shorter side that a crop of large images keeps; None is 0.875.
    """

    size: int | None = None
    mean: Sequence[float] | float | None = None
    std: Sequence[float] | float | None = None
    augment: bool = False
    in_chans: int | None = None
    crop_pct: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no data could satisfy."""
        if self.size is not None and self.size < 8:
            raise OptionError("The image size is out of range.", f"size={self.size}", "Use 8 pixels or more.")
        if self.in_chans not in (None, 1, 3):
            seen = f"in_chans={self.in_chans}"
            raise OptionError("Images have one or three channels.", seen, "Use 1 or 3, or leave it out.")
        if self.crop_pct is not None and not 0 < self.crop_pct <= 1:
            raise OptionError(
                "The crop is out of range.", f"crop_pct={self.crop_pct}", "Use 0 < crop_pct <= 1."
            )


class _SeededOrder(Sampler[int]):
    """A fresh order for each (seed, epoch) of the data."""

    def __init__(self, data: Images) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[int]:
        order: list[int] = torch.randperm(len(self), generator=self.data.generator(0)).tolist()
        return iter(order)

    def set_epoch(self, epoch: int) -> None:
        # accelerate tells the sampler, and then nobody else.
        self.data.set_epoch(epoch)


class Images(ABC, Dataset[tuple[Tensor, int]]):
    """Labelled images; see `greenadapt.data.ImageArrays` and `greenadapt.data.ImageFiles` for the two kinds.

    Attributes:
        name: What the data are called.
        split: Which part of them this is: "train", "test", "val", or "all" where the data are not split.
        labels: Class of each image [N], int64, counted from 0.
        classes: How many classes; of data that only list labels, the largest label plus one.
        class_names: What the classes are called, by label; empty where the data do not tell.
        channels: Channels of the images given out.
        skipped: Files left out because they could not be read.
        mean: Mean that normalises each channel.
        std: Standard deviation that normalises each channel.
        epoch: Epoch that shuffling and augmentation are drawn for.
        seed: Seed that they are drawn from; `loader` sets it.
    """

    def __init__(
        self, labels: Tensor, *, name: str, split: str, classes: int, stored_channels: int, view: View
    ) -> None:
        self.labels = labels.long()
        self.name = name
        self.split = split
        self.classes = classes
        self.class_names: tuple[str, ...] = _FASHION if name.startswith("fashion-mnist") else ()
        self.skipped: tuple[str, ...] = ()
        self.view = view
        self.channels = view.in_chans or stored_channels
        self.mean, self.std = _statistics(view, self.channels, name)
        self.epoch = 0
        self.seed = 0
        self._draws: tuple[tuple[int, int], Tensor] | None = None

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, that tells these images and labels from others."""

    @abstractmethod
    def _pixels(self, indices: Sequence[int]) -> Tensor:
        """The images as uint8 [B, c, H, W], c being the stored channels."""

    def _padding(self, size: int) -> int:
        """How far an image may be shifted, in pixels."""
        return max(2, size // 8) if size >= 32 else 2

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Several samples at the price of one call; a DataLoader uses it by itself."""
        images, labels = self.batch(indices)
        return list(zip(images.unbind(), labels.tolist(), strict=True))

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The images [B, C, H, W], float32 and normalised, and their labels [B], int64."""
        # NumPy on purpose: torch would split this little work over threads, and where other work shares the
        # cores their waiting for each other was measured to take forty times longer than the work itself.
        pixels = self._pixels(indices).numpy()
        if self.view.augment:
            pixels = _shift_and_mirror(pixels, self.draws(indices).numpy(), self._padding(pixels.shape[-1]))
        images = _to_channels(pixels.astype(np.float32, order="C"), self.channels)
        mean, std = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in (self.mean, self.std))
        images = images * (1 / (255 * std)) - mean / std
        return torch.from_numpy(images), self.labels[list(indices)]

    def generator(self, stream: int) -> torch.Generator:
        """A source of random numbers of its own for each (seed, epoch, stream)."""
        mixed = (self.seed * 1_000_003 + self.epoch) * 7 + stream
        return torch.Generator().manual_seed(mixed % 2**63)

    def draws(self, indices: Sequence[int]) -> Tensor:
        """Three numbers in [0, 1) for each image [B, 3]: down, right, mirror."""
        key = (self.seed, self.epoch)
        if self._draws is None or self._draws[0] != key:
            self._draws = (key, torch.rand(len(self), 3, generator=self.generator(1)))
        return self._draws[1][list(indices)]

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that shuffling and augmentation are drawn for."""
        self.epoch = epoch

    def loader(self, batch_size: int, shuffle: bool = False, seed: int = 0) -> DataLoader[tuple[Tensor, int]]:
        """Batches of (images [B, C, H, W] float32, labels [B] int64), the same on every machine.

        Args:
            batch_size: Images in a batch; the last may be smaller.
            shuffle: Draw the order from (seed, epoch) instead of keeping it.
            seed: Becomes the seed of these data, for the order and the augmentation.

        Returns:
            A loader in this process. Call `set_epoch` before each epoch; where accelerate has prepared the
            loader, call the prepared loader's ``set_epoch`` instead, which reaches these data.

        Raises:
            OptionError: The batch size is not positive.
        """
        if batch_size < 1:
            raise OptionError("The batch size is out of range.", f"batch_size={batch_size}", "Use 1 or more.")
        self.seed = seed
        return DataLoader(self, batch_size, sampler=_SeededOrder(self) if shuffle else None)

    def check_fits(self, num_classes: int, in_chans: int) -> None:
        """Make sure that a model can take these data.

        Args:
            num_classes: Classes that the model tells apart.
            in_chans: Channels that it takes.

        Raises:
            DataError: There are labels it does not know, or the channels differ.
        """
        where = f"The data {self.name!r} do not fit the model."
        if self.classes > num_classes:
            seen = f"Labels go up to {self.classes - 1}; the model has {num_classes} classes."
            raise DataError(
                where, seen, "Use the data that the model was made for, or a model with enough classes."
            )
        if self.channels != in_chans:
            seen = f"The images have {self.channels} channels; the model takes {in_chans}."
            raise DataError(where, seen, f"Open the data with in_chans={in_chans} (--channels {in_chans}).")


def _statistics(view: View, channels: int, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    known = {
        "fashion-mnist": (0.2860, 0.3530),
        "fashion-mnist-2000": (0.2860, 0.3530),
        "mnist": (0.1307, 0.3081),
    }
    mean: Sequence[float] | float
    std: Sequence[float] | float
    mean, std = known.get(name, _IMAGENET if channels == 3 else (0.5, 0.5))
    mean = mean if view.mean is None else view.mean
    std = std if view.std is None else view.std
    return _per_channel("mean", mean, channels), _per_channel("std", std, channels)


def _per_channel(what: str, value: Sequence[float] | float, channels: int) -> tuple[float, ...]:
    values = (float(value),) if isinstance(value, int | float) else tuple(float(v) for v in value)
    if len(values) == 1:
        values *= channels
    if len(values) != channels:
        seen = f"{what} has {len(values)} numbers; the images have {channels} channels."
        raise OptionError(
            f"The {what} does not fit the images.", seen, "Give one number, or one for each channel."
        )
    if what == "std" and min(values) <= 0:
        raise OptionError("The std is out of range.", f"std={values}", "Use numbers above zero.")
    return values


def _to_channels(images: Floats, channels: int) -> Floats:
    """[B, c, H, W] -> [B, channels, H, W]: grey is repeated, colour becomes luminance (ITU-R BT.601)."""
    if images.shape[1] == channels:
        return images
    if channels == 1:
        mixed: Floats = (images * _LUMA).sum(1, keepdims=True, dtype=np.float32)
        return mixed
    return np.repeat(images, channels, axis=1)


def _shift_and_mirror(pixels: Bytes, draws: Floats, padding: int) -> Bytes:
    """Crop each image at random from itself with black around it, and mirror half of them.

    Args:
        pixels: [B, c, H, W].
        draws: Three numbers in [0, 1) for each image [B, 3].
        padding: Width of the black border, in pixels.
    """
    count, _, height, width = pixels.shape
    padded = np.pad(pixels, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    corner = (draws[:, :2] * (2 * padding + 1)).astype(np.int64)
    across = np.arange(width)
    across = np.where(draws[:, 2:] < 0.5, across[::-1], across)
    rows = corner[:, 0, None] + np.arange(height)
    columns = corner[:, 1, None] + across
    taken = padded[np.arange(count)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return taken.transpose(0, 3, 1, 2)

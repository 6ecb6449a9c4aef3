"""What an audit runs on: batches of images on the device, of a dataset or random.

    images       8 of the largest batches, the same for every network and setting of a run
    └── pool     views of them in one precision and memory format, as whole batches of one size

Batches of one image and of 128 thus go round in the same images, which matters to a network whose work
depends on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Sized
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from greenadapt import inspection
from greenadapt.errors import DataError
from greenadapt.profile import Plan

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_POOL_BATCHES = 8


class Workload:
    """The images of an audit.

    Args:
        data: A dataset of greenadapt's, a DataLoader, or None for random images.
        device: Where they are put.
        most: The largest batch of the run.
        seed: Decides the random images.

    Raises:
        DataError: The data are neither of the kinds above, or they are shuffled.
    """

    def __init__(self, data: Any, device: str, most: int, seed: int = 0) -> None:
        self.data = data
        self._device, self._most, self._seed = device, most, seed
        self._loader = None if data is None else _loader_of(data, most)
        self._images: dict[tuple[int, ...] | None, Tensor] = {}
        self._placed: dict[tuple[Any, ...], Tensor] = {}
        if self._loader is not None and isinstance(self._loader.sampler, RandomSampler):
            raise DataError(
                "The images come in another order each time.",
                "The DataLoader shuffles, so that networks could not be compared image by image.",
                "Build it with shuffle=False.",
            )

    @property
    def kind(self) -> Literal["real", "random"]:
        """Whether the images are real."""
        return "random" if self.data is None else "real"

    @property
    def name(self) -> str:
        """What the data are called, with their split."""
        name, split = getattr(self.data, "name", None), getattr(self.data, "split", None)
        if name is None:
            dataset = self._loader.dataset if self._loader is not None else self.data
            return type(dataset).__name__
        return f"{name} ({split})" if split else str(name)

    def __len__(self) -> int:
        """How many images there are; 0 if that is not known beforehand, or they are random."""
        dataset = self._loader.dataset if self._loader is not None else None
        return len(dataset) if isinstance(dataset, Sized) else 0

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images [B, C, H, W] and labels [B] in batches of one size; the last may be smaller.

        Raises:
            DataError: The data do not give pairs of images and labels.
        """
        if self._loader is None:
            return
        images: list[Tensor] = []
        labels: list[Tensor] = []
        for pair in self._loader:
            _check_pair(pair)
            images.append(pair[0])
            labels.append(pair[1])
            if sum(map(len, labels)) >= size:
                *whole, last = zip(torch.cat(images).split(size), torch.cat(labels).split(size), strict=True)
                yield from whole
                images, labels = [last[0]], [last[1]]
        if sum(map(len, labels)):
            yield from zip(torch.cat(images).split(size), torch.cat(labels).split(size), strict=True)

    def pool(self, shape: tuple[int, int, int], plan: Plan) -> list[Tensor]:
        """Different whole batches on the device, for the trials to go round in.

        Args:
            shape: Channels, height and width of random images.
            plan: Batch size, precision and memory format.

        Raises:
            DataError: The data have no whole batch.
        """
        key = (None if self.data is not None else shape, plan.precision, plan.memory_format)
        if key not in self._placed:
            self._placed[key] = self.placed(self._found(key[0]), plan)
        batches = self._placed[key].split(plan.batch_size)
        if len(batches[0]) < plan.batch_size:
            raise DataError(
                "There are too few images for one batch.",
                f"{self.name} has {len(batches[0])} images; the batch size is {plan.batch_size}.",
                "Choose a smaller batch size (--batch-size).",
            )
        return [batch for batch in batches if len(batch) == plan.batch_size]

    def _found(self, shape: tuple[int, ...] | None) -> Tensor:
        if shape not in self._images:
            self._images[shape] = self._random(shape) if shape is not None else self._first()
        return self._images[shape]

    def _random(self, shape: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(self._seed)
        return torch.randn((_POOL_BATCHES * self._most, *shape), generator=generator)

    def _first(self) -> Tensor:
        found = [images for images, _ in itertools.islice(self.batches(self._most), _POOL_BATCHES)]
        if not found:
            raise DataError(
                "There are no images.", f"{self.name} is empty.", "Give data with images in them."
            )
        return torch.cat(found)

    def numbered(self, numbers: Sequence[int]) -> Tensor | None:
        """The images [n, C, H, W] of some numbers in the order of `batches`.

        Args:
            numbers: Counted from 0.

        Returns:
            The images; None where data give them only one after another, or have none.
        """
        loader = self._loader
        if loader is None or not numbers:
            return None
        in_order = (
            isinstance(loader.sampler, SequentialSampler) and type(loader.batch_sampler) is BatchSampler
        )
        if not in_order or not hasattr(loader.dataset, "__getitem__"):
            return None
        collate: Any = loader.collate_fn
        images: Tensor = collate([loader.dataset[number] for number in numbers])[0]
        return images

    def placed(self, images: Tensor, plan: Plan) -> Tensor:
        """The images on the device, in the plan's precision and memory format."""
        return images.to(self._device, dtype=DTYPES[plan.precision], memory_format=memory_format(plan))

    def fingerprint(self, digest: str) -> str:
        """What tells these images from others: the dataset's own, else the digest of what was seen."""
        return str(getattr(self.data, "fingerprint", None) or digest)

    def check_fits(self, model: Any, name: str) -> None:
        """Makes sure that a network can take these images; of an engine only a call can tell.

        Raises:
            DataError: Channels or classes do not fit.
        """
        if self.data is None or not isinstance(model, nn.Module):
            return
        channels, classes = inspection.input_shape(model)[0], getattr(model, "num_classes", None)
        if hasattr(self.data, "check_fits") and classes:
            self.data.check_fits(classes, channels)
            return
        if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
            return  # what it takes cannot be told without running it
        images = self._found(None)
        if images.shape[1] != channels:
            raise DataError(
                f"The data do not fit {name}.",
                f"The images have {images.shape[1]} channels; the network takes {channels}.",
                f"Use such images, or a network made with in_chans={images.shape[1]} "
                f"(--in-chans {images.shape[1]}).",
            )


def memory_format(plan: Plan) -> torch.memory_format:
    """The plan's memory format as torch calls it."""
    return torch.channels_last if plan.memory_format == "channels_last" else torch.contiguous_format


def _loader_of(data: Any, batch_size: int) -> DataLoader[Any]:
    if isinstance(data, DataLoader):
        return data
    if hasattr(data, "loader"):
        loader: DataLoader[Any] = data.loader(batch_size)
        return loader
    raise DataError(
        "These data cannot be audited on.",
        f"They are a {type(data).__name__}.",
        "Pass what greenadapt.open_data returns, a torch DataLoader, or None for random images.",
    )


def _check_pair(pair: Any) -> None:
    if not (isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(p, Tensor) for p in pair)):
        raise DataError(
            "The data do not give pairs of images and labels.",
            f"A batch is a {type(pair).__name__}"
            + (f" of {len(pair)}." if isinstance(pair, (list, tuple)) else "."),
            "Give (images [B, C, H, W], labels [B]).",
        )

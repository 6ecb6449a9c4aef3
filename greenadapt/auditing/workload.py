"""What an audit runs: private copies of the networks, and batches of images on the device.

    ready_copy(model)     eval mode, on the device, in the plan's precision; the caller's model is not touched
    Workload              the images: those of a dataset or DataLoader, or random ones

fp16 and bf16 mean that weights and images are converted, as one does to deploy a network; autocast,
which keeps some layers in fp32, is not used.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, RandomSampler

from greenadapt import inspection
from greenadapt.errors import DataError, OptionError
from greenadapt.profile import Plan

_POOL_BATCHES = 8
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass
class Workload:
    """The images of an audit.

    Attributes:
        plan: Batch size, precision and memory format of what is given out.
        device: Where it is put.
        data: A dataset of greenadapt's, a DataLoader, or None for random images.
    """

    plan: Plan
    device: str
    data: Any = None
    _loader: DataLoader[Any] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Refuses data that cannot be audited on.

        Raises:
            DataError: It is neither of the kinds above, it is shuffled, or it has no whole batch.
        """
        if self.data is None:
            return
        self._loader = _loader_of(self.data, self.plan.batch_size)
        if isinstance(self._loader.sampler, RandomSampler):
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

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All images [B, C, H, W] and labels [B] in batches of the plan's size; the last may be smaller.

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
            while sum(map(len, labels)) >= self.plan.batch_size:
                whole, many = torch.cat(images), torch.cat(labels)
                yield whole[: self.plan.batch_size], many[: self.plan.batch_size]
                images, labels = [whole[self.plan.batch_size :]], [many[self.plan.batch_size :]]
        if sum(map(len, labels)):
            yield torch.cat(images), torch.cat(labels)

    def pool(self, model: nn.Module) -> list[Tensor]:
        """Different whole batches on the device, for the trials to go round in.

        Raises:
            DataError: The data have no whole batch.
        """
        if self.data is None:
            shape = (self.plan.batch_size, *inspection.input_shape(model))
            random = torch.Generator().manual_seed(self.plan.seed)
            return [self.placed(torch.randn(shape, generator=random)) for _ in range(_POOL_BATCHES)]
        found = [images for images, _ in itertools.islice(self.batches(), _POOL_BATCHES)]
        whole = [self.placed(images) for images in found if len(images) == self.plan.batch_size]
        if not whole:
            raise DataError(
                "There are too few images for one batch.",
                f"{self.name} has {sum(map(len, found))} images; the batch size is {self.plan.batch_size}.",
                "Choose a smaller batch size.",
            )
        return whole

    def placed(self, images: Tensor) -> Tensor:
        """The images on the device, in the plan's precision and memory format."""
        return images.to(
            self.device, dtype=_DTYPES[self.plan.precision], memory_format=_memory_format(self.plan)
        )

    def fingerprint(self, digest: str) -> str:
        """What tells these images from others: the dataset's own, else the digest of what was seen."""
        return str(getattr(self.data, "fingerprint", None) or digest)

    def check_fits(self, model: nn.Module, name: str) -> None:
        """Makes sure that a network can take these images.

        Raises:
            DataError: Channels or classes do not fit.
        """
        channels, classes = inspection.input_shape(model)[0], getattr(model, "num_classes", None)
        if hasattr(self.data, "check_fits") and classes:
            self.data.check_fits(classes, channels)
            return
        if not any(isinstance(module, nn.Conv2d) for module in model.modules()):
            return  # what it takes cannot be told without running it
        for images, _ in itertools.islice(self.batches(), 1):
            if images.shape[1] != channels:
                raise DataError(
                    f"The data do not fit {name}.",
                    f"The images have {images.shape[1]} channels; the network takes {channels}.",
                    f"Use such images, or a network made with in_chans={images.shape[1]}.",
                )


def ready_copy(model: nn.Module, plan: Plan, device: str) -> nn.Module:
    """A copy of a network that is ready to be audited; the original stays as it is.

    Args:
        model: Any classifier: [B, C, H, W] to [B, classes].
        plan: Precision and memory format.
        device: Where the copy goes.
    """
    copied = copy.deepcopy(model).eval().to(device=device, dtype=_DTYPES[plan.precision])
    return copied.to(memory_format=_memory_format(plan))


def step_of(model: nn.Module, pool: list[Tensor], compile_it: bool) -> Callable[[], object]:
    """One call of a network on the next batch of the pool, round and round."""
    forward = torch.compile(model) if compile_it else model
    following = itertools.cycle(pool)

    def step() -> object:
        with torch.inference_mode():
            return forward(next(following))

    return step


def check_runs(step: Callable[[], object], name: str, plan: Plan) -> None:
    """Makes sure, before anything is measured, that a network runs on the images and gives logits.

    Raises:
        OptionError: It fails, and the plan asks for something that not every network can do.
        DataError: It fails on the images, or what it returns are no logits.
    """
    try:
        outputs = step()
    except (RuntimeError, ValueError, AssertionError, TypeError) as error:
        first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
        if plan.precision != "fp32" or plan.compile:
            asked = plan.precision + (", compiled" if plan.compile else "")
            raise OptionError(
                f"{name} does not run as {asked}.", first_line, "Try fp32, uncompiled."
            ) from error
        raise DataError(
            f"{name} does not run on these images.",
            first_line,
            "Check size and channels of the images against the network's.",
        ) from error
    if not isinstance(outputs, Tensor) or outputs.ndim != 2:
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise DataError(
            f"{name} is no classifier that greenadapt can audit.",
            f"It returns {shape}, not logits of shape (batch, classes).",
            "Wrap it in a module that returns the logits alone.",
        )


def _memory_format(plan: Plan) -> torch.memory_format:
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

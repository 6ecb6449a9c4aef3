"""What is found out before the first step: that data, model and teacher fit, and which training this is."""

from __future__ import annotations

import hashlib
from collections.abc import Sized
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from greenadapt.adapters.modes import asked, modes_kept
from greenadapt.adapters.norms import batch_norms, statistics_put_back
from greenadapt.errors import DataError, ModelError, OptionError
from greenadapt.finetuning.loop import NORMS_NEED_TWO, check_labels, freeze_norms, one_image_alone
from greenadapt.finetuning.settings import Settings
from greenadapt.inspection import input_shape
from greenadapt.models import recipe_of
from greenadapt.storage import weights_sha256

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader

_DIGITS = 12
_ADDED = ("teacher_share", "freeze_norms")
"""Settings that checkpoints of earlier versions do not name: those were written under what is the default."""


def check_data(model: nn.Module, loader: DataLoader[Any], what: str) -> Any:
    """Looks at the first batch, and returns its images.

    Args:
        model: The network that is to see it.
        loader: Gives (images [B, C, H, W], labels [B]).
        what: "training" or "validation", for the error.

    Raises:
        DataError: There is no batch, or it does not fit the model.
    """
    happened = f"The {what} data do not fit the model."
    try:
        images, labels = next(iter(loader))
        shape, channels = tuple(images.shape), images.shape[1]
    except StopIteration:
        raise DataError(
            f"There are no {what} images.", "The data give no batch.", "Give at least one image."
        ) from None
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(happened, f"A batch is no pair: {error}.", "Give (images, labels).") from error
    if images.ndim != 4:
        seen = f"A batch of images has shape {shape}, not [B, C, H, W]."
        raise DataError(happened, seen, "Give a DataLoader, or what greenadapt.open_data gives.")
    if channels != input_shape(model)[0]:
        seen = f"A batch has shape {shape}; the model takes {input_shape(model)[0]} channel(s)."
        raise DataError(happened, seen, "Open the data with as many channels, or another model.")
    if not images.isfinite().all():
        seen = "The first batch of images holds values that are no numbers."
        raise DataError(happened, seen, "Look at how the images are read and normalised.")
    check_labels(labels, model, what)
    return images


def check_last_batch(model: nn.Module, loader: DataLoader[Any], images: Any, freeze: bool) -> None:
    """Tries one image alone where a training would end its epochs with one, hours later perhaps.

    Args:
        model: The network; its modes and statistics are as before afterwards.
        loader: Of the training images.
        images: A batch of them.
        freeze: Whether batch norms will be frozen.

    Raises:
        DataError: A batch norm would have to learn from one image.
    """
    import torch

    size, data = getattr(loader, "batch_size", None), getattr(loader, "dataset", None)
    if size is None or loader.drop_last or not isinstance(data, Sized) or len(data) % size != 1 % size:
        return
    image = images[:1].to(next(model.parameters()).device)
    boards = [image.device] if image.is_cuda else []
    try:
        with modes_kept(model), torch.no_grad(), torch.random.fork_rng(boards):
            model.train()
            if freeze:
                freeze_norms(model)
            with statistics_put_back(batch_norms(model)):
                model(image)
    except ValueError as error:
        if NORMS_NEED_TWO not in str(error):
            raise
        raise one_image_alone(f"{len(data):,} images in batches of {size} leave one alone") from error


def check_teacher(model: nn.Module, teacher: nn.Module, images: Any) -> None:
    """Shows a teacher two images, and refuses one of other classes or other images.

    Args:
        model: The network that is to learn.
        teacher: Any module that gives logits [B, classes].
        images: A batch [B, C, H, W] of the training.

    Raises:
        ModelError: It does not fit.
    """
    import torch

    device = next(model.parameters()).device
    try:
        with asked(teacher):
            shape = list(teacher(images[:2].to(device, memory_format=torch.channels_last)).shape)
    except Exception as error:  # whatever a stranger's network provokes
        raise _unfit(f"Shown images of {list(images.shape[1:])}, it fails: {error}") from error
    shown, classes = len(images[:2]), model.num_classes
    if len(shape) != 2 or shape[0] != shown:
        raise _unfit(f"It answers {shown} images by {shape}, not by [{shown}, {classes}].")
    if shape[1] != classes:
        raise _unfit(f"It has {shape[1]} classes; the model has {classes}.")


def _unfit(seen: str) -> ModelError:
    return ModelError(
        "The teacher does not fit the model.",
        seen,
        "Use the network that the model was made from as its teacher.",
    )


def check_share(settings: Settings, teacher: nn.Module | None) -> None:
    """Refuses a share of the loss for nobody.

    Raises:
        OptionError: One was asked for, and there is no teacher.
    """
    if teacher is None and settings.teacher_share != Settings.teacher_share:
        raise OptionError(
            "There is no teacher to have a share of the loss.",
            f"teacher_share={settings.teacher_share}",
            "Give a teacher, usually the network that was wrapped.",
        )


def identity(settings: Settings, model: nn.Module, teacher: nn.Module | None, train: Any) -> dict[str, Any]:
    """What a checkpoint must have been written under to be resumed from.

    Args:
        settings: The settings.
        model: Before its first step.
        teacher: Or None.
        train: Data, whose fingerprint is taken if they have one, else their number.
    """
    data = getattr(train, "dataset", train)
    added = [(name, getattr(Settings, name)) for name in _ADDED]
    return {
        **{name: value for name, value in asdict(settings).items() if (name, value) not in added},
        "data": str(getattr(data, "fingerprint", len(data)))[:_DIGITS],
        "options": recipe_of(model).options,
        "network": _network(model),
        "teacher": None if teacher is None else weights_sha256(teacher.state_dict())[:_DIGITS],
    }


def _network(model: nn.Module) -> str:
    """What the weights are of, and not what they are: those that a model has are what resuming replaces."""
    made = [f"{name} {list(tensor.shape)}" for name, tensor in model.state_dict().items()]
    digest = hashlib.sha256("\n".join(made).encode()).hexdigest()[:_DIGITS]
    return f"{recipe_of(model).base.reference} {digest}"

"""What is found out before the first step: that data, model and teacher fit, and which training this is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from greenadapt.errors import DataError, ModelError, OptionError
from greenadapt.finetuning.loop import Settings, check_labels
from greenadapt.inspection import input_shape
from greenadapt.models import recipe_of
from greenadapt.storage import weights_sha256

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.data import DataLoader

_DIGITS = 12
_ADDED = ("teacher_share", "freeze_norms")
"""Settings that checkpoints of earlier versions do not name: those were written under what is the default."""


def check_data(model: nn.Module, loader: DataLoader[Any], what: str) -> None:
    """Looks at the first batch.

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


def check_teacher(model: nn.Module, teacher: nn.Module) -> None:
    """Refuses a teacher of other classes or other images.

    Raises:
        ModelError: It does not fit.
    """
    theirs = (teacher.num_classes, input_shape(teacher)[0])
    ours = (model.num_classes, input_shape(model)[0])
    if theirs != ours:
        raise ModelError(
            "The teacher does not fit the model.",
            "It has {} classes and {} channel(s); the model has {} and {}.".format(*theirs, *ours),
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
        "weights": weights_sha256(model.state_dict())[:_DIGITS],
        "teacher": None if teacher is None else weights_sha256(teacher.state_dict())[:_DIGITS],
    }

"""One training under way: its parts, an epoch, a step, the learning rate, and where it can resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenadapt.errors import DataError, TrainingError
from greenadapt.finetuning import checkpoints
from greenadapt.finetuning.mixing import mixed
from greenadapt.finetuning.settings import Settings
from greenadapt.interfaces import Objective

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn
    from torch.utils.data import DataLoader

Progress = Callable[[str, float], None]
_WARMUP_FRACTION = 0.05
_SECONDS_BETWEEN_MESSAGES = 0.5


@dataclass
class Run:
    """A training under way."""

    model: nn.Module
    objective: Objective
    settings: Settings
    identity: dict[str, Any]
    accelerator: Accelerator
    optimizer: Any
    scheduler: Any
    loader: DataLoader[Any]
    val_loader: DataLoader[Any] | None
    progress: Progress
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds_before: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has been training, earlier sittings included."""
        return self.seconds_before + time.monotonic() - self.started


def loader_of(data: Any, batch_size: int, shuffle: bool = False, seed: int = 0) -> DataLoader[Any]:
    """A loader of data that make their own; a DataLoader is used as it is."""
    loader: DataLoader[Any] = (
        data.loader(batch_size, shuffle=shuffle, seed=seed) if hasattr(data, "loader") else data
    )
    return loader


def factor(step: int, steps: int) -> float:
    """Learning rate as a fraction of the highest: a linear warm-up, then a half cosine to 0."""
    warmup = max(1, int(steps * _WARMUP_FRACTION))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def run_epoch(run: Run, train: Any, epoch: int) -> dict[str, float]:
    """One pass over the training data.

    Args:
        run: The training.
        train: The data that `run.loader` gives, told the epoch so that a resumed training sees the same.
        epoch: Counted from 0.

    Returns:
        Means over the epoch of what the objective reports, and ``val_top1`` where there are such images.

    Raises:
        TrainingError: The loss, a figure or a weight is no number.
        DataError: A label is for no class of the model, or a batch has one image and batch norm needs two.
    """
    import torch

    if hasattr(train, "set_epoch"):
        train.set_epoch(epoch)
    run.objective.begin_epoch(epoch)
    if run.settings.freeze_norms:
        freeze_norms(run.model)
    sums: dict[str, float] = {}
    images_seen, last_message = 0, 0.0
    for step, (images, labels) in enumerate(run.loader):
        check_labels(labels, run.model, "training")
        images = images.to(run.accelerator.device, memory_format=torch.channels_last)
        labels = labels.to(run.accelerator.device)
        if run.settings.mixup:
            draw = (run.settings.seed, epoch, step)
            images, labels = mixed(images, labels, run.model.num_classes, run.settings.mixup, draw)  # type: ignore[arg-type]
        figures = _step(run, images, labels, epoch, step)
        images_seen += len(images)
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value * len(images)
        if time.monotonic() - last_message > _SECONDS_BETWEEN_MESSAGES:
            last_message = time.monotonic()
            fraction = (epoch + (step + 1) / len(run.loader)) / run.settings.epochs
            run.progress(_message(run, epoch, {n: s / images_seen for n, s in sums.items()}) + " …", fraction)
    means = {name: total / images_seen for name, total in sums.items()}
    if run.val_loader is not None:
        means["val_top1"] = evaluate(run.model, run.val_loader, run.accelerator)
    run.progress(_message(run, epoch, means), (epoch + 1) / run.settings.epochs)
    _check_weights(run, epoch)
    return means


def check_labels(labels: Any, model: nn.Module, what: str) -> None:
    """Refuses labels that stand for no class.

    Args:
        labels: Class numbers, [B], or shares of classes.
        model: The network that is to give their classes.
        what: "training" or "validation", for the error.

    Raises:
        DataError: One is below 0, or not below the number of classes.
    """
    low, high, classes = int(labels.min()), int(labels.max()), int(model.num_classes)  # type: ignore[arg-type]
    if low < 0 or high >= classes:
        raise DataError(
            f"The {what} data do not fit the model.",
            f"Labels go from {low} to {high}; the model has {classes} classes.",
            "Count the classes from 0, or open the model with num_classes.",
        )


def freeze_norms(model: nn.Module) -> None:
    """Has batch norms use the statistics that they have, and keep them; scale and shift still learn.

    A part that is not yet a network of its own (``begins_anew``), such as a policy, goes on making its own.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    if getattr(model, "begins_anew", False):
        return
    if isinstance(model, _BatchNorm):
        model.eval()
    for part in model.children():
        freeze_norms(part)


def _step(run: Run, images: Any, labels: Any, epoch: int, step: int) -> dict[str, float]:
    where = f"batch {step + 1} of epoch {epoch + 1}"
    try:
        loss, figures = _loss(run, images, labels)
    except TrainingError as error:
        if not images.isfinite().all():
            raise DataError(
                "The training data do not fit the model.",
                f"Images of {where} hold values that are no numbers.",
                "Look at how the images are read and normalised.",
            ) from error
        raise TrainingError(error.happened, f"In {where}: {error.seen}", error.todo) from error
    except ValueError as error:
        if len(images) == 1 and NORMS_NEED_TWO in str(error):
            raise one_image_alone(f"{where} has one".capitalize()) from error
        raise
    run.optimizer.zero_grad()
    run.accelerator.backward(loss)
    run.optimizer.step()
    run.scheduler.step()
    return {"loss": loss.item(), **figures}


def _loss(run: Run, images: Any, labels: Any) -> tuple[Any, dict[str, float]]:
    with run.accelerator.autocast():
        loss, figures = run.objective.loss(images, labels)
    if not math.isfinite(loss.item()):
        told = ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items())
        raise TrainingError(
            f"The loss is no number ({loss.item()}).", f"{told}.", "Lower the learning rate or use fp32."
        )
    return loss, figures


NORMS_NEED_TWO = "more than 1 value per channel"
"""Batch norm's own words, where it has nothing to compare one image with."""


def one_image_alone(seen: str) -> DataError:
    """What is told where batch norm would have to learn from one image."""
    return DataError(
        "A batch of one image cannot train this model.",
        f"{seen}, and batch norm needs two.",
        "Use another batch size, or a loader with drop_last=True.",
    )


def _check_weights(run: Run, epoch: int) -> None:
    """A step whose loss still was a number may have left weights that are none; they must not be kept."""
    for name, tensor in run.model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            bad = int((~tensor.isfinite()).sum())
            raise TrainingError(
                f"A weight is no number after epoch {epoch + 1}.",
                f"{bad} of {tensor.numel()} values of {name}.",
                "Lower the learning rate or use fp32.",
            )


def evaluate(model: nn.Module, loader: DataLoader[Any], accelerator: Accelerator | None = None) -> float:
    """Fraction of a loader's images that the model classifies correctly, in eval mode and on its device."""
    import torch

    model.eval()
    device = next(model.parameters()).device
    autocast = accelerator.autocast if accelerator is not None else nullcontext
    correct = seen = 0
    with torch.inference_mode(), autocast():
        for images, labels in loader:
            check_labels(labels, model, "validation")
            logits = model(images.to(device, memory_format=torch.channels_last))
            correct += int((logits.argmax(1).cpu() == labels).sum())
            seen += len(labels)
    return correct / seen


def _message(run: Run, epoch: int, figures: dict[str, float]) -> str:
    parts = [f"epoch {epoch + 1}/{run.settings.epochs}"]
    for name, value in figures.items():
        percent = name.endswith("top1")
        parts.append(f"{name.replace('_', ' ')} {value * 100:.2f} %" if percent else f"{name} {value:.4g}")
    return " · ".join(parts)


def silent(message: str, fraction: float) -> None:
    """The progress of a training that nobody watches."""


def save(run: Run, path: str | Path, next_epoch: int) -> None:
    """Writes the checkpoint that `restore` reads."""
    checkpoints.write(
        path,
        {
            "settings": json.dumps(run.identity),
            "next_epoch": next_epoch,
            "model": run.model.state_dict(),
            "optimizer": run.optimizer.optimizer.state_dict(),
            "scheduler": run.scheduler.state_dict(),
            "curve": json.dumps(run.curve),
            "seconds": run.seconds,
        },
    )


def restore(run: Run, path: str | Path) -> int:
    """Puts a training back where its checkpoint was written, and returns the epoch that comes next.

    Raises:
        TrainingError: There is no checkpoint, or it belongs to a training with other settings.
    """
    state = checkpoints.read(path, json.dumps(run.identity))
    run.model.load_state_dict(state["model"])
    run.optimizer.optimizer.load_state_dict(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.curve = json.loads(state["curve"])
    run.seconds_before = state["seconds"]
    return int(state["next_epoch"])

"""The training loop, on accelerate: win back the accuracy that a retrofit cost, or train from scratch.

    prepare ─> epoch 0 ─> checkpoint ─> epoch 1 ─> checkpoint ─> ... ─> Training, added to the recipe
                  └ per batch: objective.loss, backward, step; learning rate: warm-up, then cosine to 0

What is minimised is the adapter's own affair (`greenadapt.interfaces.Objective`). A training is a function
of its seed: one that was interrupted resumes at the last whole epoch and ends as it would have ended.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greenadapt import checkpoints, plugins
from greenadapt.errors import MissingExtraError, OptionError, TrainingError
from greenadapt.inspection import input_shape
from greenadapt.interfaces import Objective
from greenadapt.models import recipe_of
from greenadapt.recipe import Training

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn
    from torch.utils.data import DataLoader

Progress = Callable[[str, float], None]
_WARMUP_FRACTION = 0.05
_SECONDS_BETWEEN_MESSAGES = 0.5


@dataclass(frozen=True)
class Settings:
    """What a training depends on besides model and data; a checkpoint resumes only under the same."""

    epochs: int = 5
    batch_size: int = 128
    learning_rate: float | None = None
    weight_decay: float = 5e-4
    seed: int = 0
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is out of range.", f"{name}={getattr(self, name)}", "Use 1 or more.")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise OptionError(
                "The learning rate is out of range.", f"learning_rate={self.learning_rate}", "Use more than 0."
            )


@dataclass
class _Run:
    """A training under way."""

    model: nn.Module
    objective: Objective
    settings: Settings
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
        return self.seconds_before + time.monotonic() - self.started


def finetune(
    model: nn.Module,
    train: Any,
    *,
    val: Any = None,
    teacher: nn.Module | None = None,
    epochs: int = 5,
    batch_size: int = 128,
    learning_rate: float | None = None,
    weight_decay: float = 5e-4,
    seed: int = 0,
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    device: str = "auto",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    meter: str | None = "auto",
    progress: Progress | None = None,
) -> Training:
    """Trains a model in place and reports what it took, joules included.

    Args:
        model: A retrofit or a plain network; its recipe gains an entry.
        train: A dataset of `greenadapt.open_data`, or a DataLoader of (images [B, C, H, W], labels [B]).
        val: Likewise, for the top-1 after each epoch.
        teacher: A frozen network to learn from as well, usually the one that was wrapped.
        epochs: Passes over the training data.
        batch_size: Images per step; a DataLoader's own is used instead.
        learning_rate: The highest; None for the objective's own.
        weight_decay: For weights of two and more dimensions.
        seed: For the order of the data, augmentation and sampled policies.
        precision: "bf16" and "fp16" run the network under autocast.
        device: A torch device, or "auto".
        checkpoint: File that is written after every epoch, for `resume`.
        resume: Go on from the checkpoint.
        meter: Which instrument reads the joules spent, "auto", or None for no reading.
        progress: Called with a message and the fraction done; a message ending in "…" is a passing one.

    Raises:
        DataError: The images' channels or classes do not fit the model.
        TrainingError: The loss is no number, or the checkpoint belongs to another training.
        MissingExtraError: accelerate is not installed.
    """
    settings = Settings(epochs, batch_size, learning_rate, weight_decay, seed, precision)
    for data in (train, val):
        if hasattr(data, "check_fits"):
            data.check_fits(model.num_classes, input_shape(model)[0])
    run = _prepare(model, train, val, teacher, settings, device, progress or _silent)
    first = _restore(run, checkpoint) if resume and checkpoint else 0
    if first == 0:
        run.objective.prepare(run.loader)
    with _metered(meter, device) as window:
        for epoch in range(first, epochs):
            run.curve.append(_epoch(run, train, epoch))
            if checkpoint is not None:
                _save(run, checkpoint, epoch + 1)
    model.eval()
    training = _record(run, train, teacher, None if first else window)
    recipe = recipe_of(model)
    weights = "trained" if recipe.base.weights == "random" else recipe.base.weights
    model.greenadapt_recipe = recipe.model_copy(  # type: ignore[assignment]
        update={
            "training": [*recipe.training, training],
            "base": recipe.base.model_copy(update={"weights": weights}),
            "data_mean": _listed(train, "mean"),
            "data_std": _listed(train, "std"),
        }
    )
    return training


def _prepare(
    model: nn.Module,
    train: Any,
    val: Any,
    teacher: nn.Module | None,
    settings: Settings,
    device: str,
    progress: Progress,
) -> _Run:
    import torch

    accelerator = _accelerator(settings.precision, device)
    torch.manual_seed(settings.seed)
    model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if teacher is not None:
        teacher.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = _objective(model, teacher, settings.epochs)
    loader = _loader(train, settings.batch_size, shuffle=True, seed=settings.seed)
    optimizer = accelerator.prepare(objective.optimizer(settings.learning_rate, settings.weight_decay))
    steps = settings.epochs * len(loader)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer.optimizer, lambda step: _factor(step, steps))
    val_loader = None if val is None else _loader(val, settings.batch_size)
    return _Run(
        model, objective, settings, accelerator, optimizer, scheduler, loader, val_loader, progress
    )


def _accelerator(precision: str, device: str) -> Accelerator:
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise MissingExtraError("finetune", "train") from error
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision, cpu=device.startswith("cpu") or None
    )
    if accelerator.num_processes > 1:
        raise TrainingError(
            "finetune runs in one process.",
            f"It was launched as {accelerator.num_processes}.",
            "Start it with python, not with accelerate launch or torchrun.",
        )
    return accelerator


def _objective(model: nn.Module, teacher: nn.Module | None, epochs: int) -> Objective:
    adapter = recipe_of(model).adapter
    if adapter is not None:
        objective: Objective = plugins.adapter(adapter).objective(model, teacher, epochs)
        return objective
    from greenadapt.adapters.distillation import Distillation

    return Distillation(model, teacher)


def _loader(data: Any, batch_size: int, shuffle: bool = False, seed: int = 0) -> DataLoader[Any]:
    loader: DataLoader[Any] = (
        data.loader(batch_size, shuffle=shuffle, seed=seed) if hasattr(data, "loader") else data
    )
    return loader


def _factor(step: int, steps: int) -> float:
    """Learning rate as a fraction of the highest: a linear warm-up, then a half cosine to 0."""
    warmup = max(1, int(steps * _WARMUP_FRACTION))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _epoch(run: _Run, train: Any, epoch: int) -> dict[str, float]:
    import torch

    if hasattr(train, "set_epoch"):
        train.set_epoch(epoch)
    run.objective.begin_epoch(epoch)
    sums: dict[str, float] = {}
    images_seen, last_message = 0, 0.0
    for step, (images, labels) in enumerate(run.loader):
        images = images.to(run.accelerator.device, memory_format=torch.channels_last)
        figures = _step(run, images, labels.to(run.accelerator.device), epoch)
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
    return means


def _step(run: _Run, images: Any, labels: Any, epoch: int) -> dict[str, float]:
    with run.accelerator.autocast():
        loss, figures = run.objective.loss(images, labels)
    value = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"The loss is no number ({value}) in epoch {epoch + 1}.",
            ", ".join(f"{name} {figure:.4g}" for name, figure in figures.items()),
            "Lower the learning rate or use fp32; the last checkpoint is kept as it was.",
        )
    run.optimizer.zero_grad()
    run.accelerator.backward(loss)
    run.optimizer.step()
    run.scheduler.step()
    return {"loss": value, **figures}


def evaluate(model: nn.Module, loader: DataLoader[Any], accelerator: Accelerator | None = None) -> float:
    """Fraction of a loader's images that the model classifies correctly, in eval mode and on its device."""
    import torch

    model.eval()
    device = next(model.parameters()).device
    autocast = accelerator.autocast if accelerator is not None else nullcontext
    correct = seen = 0
    with torch.inference_mode(), autocast():
        for images, labels in loader:
            logits = model(images.to(device, memory_format=torch.channels_last))
            correct += int((logits.argmax(1).cpu() == labels).sum())
            seen += len(labels)
    return correct / seen


def _message(run: _Run, epoch: int, figures: dict[str, float]) -> str:
    parts = [f"epoch {epoch + 1}/{run.settings.epochs}"]
    for name, value in figures.items():
        percent = name.endswith("top1")
        parts.append(f"{name.replace('_', ' ')} {value * 100:.2f} %" if percent else f"{name} {value:.4g}")
    return " · ".join(parts)


def _silent(message: str, fraction: float) -> None:
    """The progress of a training that nobody watches."""


def _metered(meter: str | None, device: str) -> AbstractContextManager[Any]:
    if meter is None:
        return nullcontext()
    from greenadapt.auditing import window

    return window(meter=meter, device=device)


def _record(run: _Run, train: Any, teacher: nn.Module | None, window: Any) -> Training:
    groups = run.optimizer.param_groups
    data = getattr(train, "dataset", train)
    return Training(
        dataset=getattr(data, "name", type(data).__name__),
        images=len(data),
        epochs=run.settings.epochs,
        batch_size=run.loader.batch_size or run.settings.batch_size,
        learning_rate=max(group["initial_lr"] for group in groups),
        weight_decay=run.settings.weight_decay,
        optimizer=type(run.optimizer.optimizer).__name__,
        seed=run.settings.seed,
        precision=run.settings.precision,
        objective=run.objective.name,
        teacher=None if teacher is None else recipe_of(teacher).base.reference,
        seconds=run.seconds,
        joules=getattr(window, "joules", None),
        energy_kind=getattr(window, "kind", None) if getattr(window, "joules", None) is not None else None,
        val_top1=run.curve[-1].get("val_top1") if run.curve else None,
        curve=run.curve,
    )


def _listed(data: Any, name: str) -> list[float] | None:
    values = getattr(getattr(data, "dataset", data), name, None)
    return None if values is None else [float(value) for value in values]


def _save(run: _Run, path: str | Path, next_epoch: int) -> None:
    checkpoints.write(
        path,
        {
            "settings": json.dumps(asdict(run.settings)),
            "next_epoch": next_epoch,
            "model": run.model.state_dict(),
            "optimizer": run.optimizer.optimizer.state_dict(),
            "scheduler": run.scheduler.state_dict(),
            "curve": json.dumps(run.curve),
            "seconds": run.seconds,
        },
    )


def _restore(run: _Run, path: str | Path) -> int:
    state = checkpoints.read(path, json.dumps(asdict(run.settings)))
    run.model.load_state_dict(state["model"])
    run.optimizer.optimizer.load_state_dict(state["optimizer"])
    run.scheduler.load_state_dict(state["scheduler"])
    run.curve = json.loads(state["curve"])
    run.seconds_before = state["seconds"]
    return int(state["next_epoch"])

"""The training loop, on accelerate: win back the accuracy that a retrofit cost, or train from scratch.

    prepare ─> epoch 0 ─> checkpoint ─> epoch 1 ─> checkpoint ─> ... ─> Training, added to the recipe
                  └ per batch: objective.loss, backward, step; learning rate: warm-up, then cosine to 0

What is minimised is the adapter's own affair (`greenadapt.interfaces.Objective`). A training is a function
of its seed: one that was interrupted resumes at the last whole epoch and ends as it would have ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greenadapt import plugins
from greenadapt.errors import DataError, MissingExtraError, ModelError, OptionError, TrainingError
from greenadapt.finetuning import loop
from greenadapt.finetuning.checks import (
    check_data,
    check_last_batch,
    check_share,
    check_teacher,
    identity,
)
from greenadapt.finetuning.loop import Progress, Run
from greenadapt.finetuning.loop import evaluate as evaluate
from greenadapt.finetuning.settings import Settings
from greenadapt.inspection import input_shape
from greenadapt.interfaces import Objective, Teacher
from greenadapt.machine import resolve_device
from greenadapt.models import recipe_of
from greenadapt.recipe import Training

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn


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
    mixup: float = 0.0,
    teacher_share: float = 0.5,
    freeze_norms: bool = False,
    device: str = "auto",
    checkpoint: str | Path | None = None,
    resume: bool = False,
    meter: str | None = "auto",
    progress: Progress | None = None,
) -> Training:
    """Trains a model in place and reports what it took, joules included.

    Where a training under way cannot go on, the last checkpoint stays as it was, and the model is put back to
    it; without one the model is as the last steps left it. The error says which.

    Args:
        model: A retrofit or a plain network; its recipe gains an entry.
        train: A dataset of `greenadapt.open_data`, or a DataLoader of (images [B, C, H, W], labels [B]).
        val: Likewise, for the top-1 after each epoch.
        teacher: A frozen network to learn from as well, usually the one that was wrapped; any module that
            gives logits [B, classes].
        epochs: Passes over the training data.
        batch_size: Images per step; a DataLoader's own is used instead.
        learning_rate: The highest; None for the objective's own.
        weight_decay: For weights of two and more dimensions.
        seed: For the order of the data, augmentation and sampled policies.
        precision: "bf16" and "fp16" run the network under autocast.
        mixup: Alpha of the Beta distribution by which images are mixed in pairs, and their labels with them;
            0 mixes none. With a teacher 1.0 is a good choice; it wants more epochs.
        teacher_share: Share of the loss that the teacher's logits have; with 1 the labels count for nothing,
            but in the rewards of BlockDrop's "reinforce". Where images are few, they teach little else.
        freeze_norms: Batch norms use the statistics that they have, and keep them: for batches too small to
            have their own. Not for networks that start from random weights; a policy, which may, is left out.
        device: A torch device, or "auto".
        checkpoint: File that is written after every epoch, for `resume`.
        resume: Go on from the checkpoint, which replaces the weights that the model has.
        meter: Which instrument reads the joules spent, "auto", or None for no reading.
        progress: Called with a message and the fraction done; a message ending in "…" is a passing one.

    Raises:
        DataError: There are no images, or their channels, classes or values do not fit the model; or one
            image would be alone in a batch, and batch norm needs two.
        ModelError: The teacher does not fit the model.
        OptionError: A setting is out of range, a share of the loss is for a teacher that is not there, or
            nothing can be trained on the device.
        TrainingError: A loss, a reward or a weight is no number, or the checkpoint belongs to another
            training.
        MissingExtraError: accelerate is not installed.
    """
    settings = Settings(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
        precision=precision,
        mixup=mixup,
        teacher_share=teacher_share,
        freeze_norms=freeze_norms,
    )
    check_share(settings, teacher)
    for data in (train, val):
        if hasattr(data, "check_fits"):
            data.check_fits(model.num_classes, input_shape(model)[0])
    device = resolve_device(device)
    with _as_found(model, teacher), _current(device):
        run = _prepare(model, train, val, teacher, settings, device, progress or loop.silent)
        with _metered(meter, device) as window:
            first = _begin(run, checkpoint if resume else None)
            with _put_back(run, checkpoint):
                for epoch in range(first, epochs):
                    run.curve.append(loop.run_epoch(run, train, epoch))
                    if checkpoint is not None:
                        loop.save(run, checkpoint, epoch + 1)
    training = _record(run, train, teacher, None if first else window)
    _note(model, train, training)
    return training


def _note(model: nn.Module, train: Any, training: Training) -> None:
    """Adds a training to the recipe of the model that it trained."""
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


def _prepare(
    model: nn.Module,
    train: Any,
    val: Any,
    teacher: nn.Module | None,
    settings: Settings,
    device: str,
    progress: Progress,
) -> Run:
    import torch

    accelerator = _accelerator(settings.precision, device)
    torch.manual_seed(settings.seed)
    model.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if teacher is not None:
        teacher.to(accelerator.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = _objective(model, teacher, settings)
    loader = loop.loader_of(train, settings.batch_size, shuffle=True, seed=settings.seed)
    val_loader = None if val is None else loop.loader_of(val, settings.batch_size)
    images = check_data(model, loader, "training")
    if teacher is not None:
        check_teacher(model, teacher, images)
    check_last_batch(model, loader, images, settings.freeze_norms)
    if val_loader is not None:
        check_data(model, val_loader, "validation")
    this = identity(settings, model, teacher, train)
    optimizer = accelerator.prepare(objective.optimizer(settings.learning_rate, settings.weight_decay))
    steps = settings.epochs * len(loader)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer.optimizer, lambda step: loop.factor(step, steps))
    return Run(
        model, objective, settings, this, accelerator, optimizer, scheduler, loader, val_loader, progress
    )


def _begin(run: Run, checkpoint: str | Path | None) -> int:
    """Prepares the objective, and returns the first epoch; a checkpoint to resume from prevails."""
    first = loop.restore(run, checkpoint) if checkpoint is not None else 0
    run.objective.prepare(run.loader)
    # What was prepared is in the checkpoint, as the epochs since have left it.
    return loop.restore(run, checkpoint) if first and checkpoint is not None else 0


@contextmanager
def _put_back(run: Run, checkpoint: str | Path | None) -> Iterator[None]:
    """However a training ends, the model is left in eval mode; if it fails, as after its last good epoch."""
    try:
        yield
    except (TrainingError, DataError) as error:
        where = "The model is as the last steps left it."
        if checkpoint is not None and run.curve:
            epochs = loop.restore(run, checkpoint)
            where = f"The model is back after epoch {epochs}, as in the checkpoint {checkpoint}."
        raise type(error)(error.happened, error.seen, f"{error.todo} {where}") from error
    finally:
        run.model.eval()


def _accelerator(precision: str, device: str) -> Accelerator:
    try:
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
    except ImportError as error:
        raise MissingExtraError("finetune", "train") from error
    # accelerate keeps the first precision of a process for good, and a second training may want another.
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        mixed_precision="no" if precision == "fp32" else precision, cpu=device.startswith("cpu") or None
    )
    if accelerator.device.type != device.partition(":")[0]:
        raise OptionError(
            f"finetune cannot use the device {device}.",
            f"accelerate takes {accelerator.device} here.",
            "Use auto, cpu, cuda or cuda:0.",
        )
    if accelerator.num_processes > 1:
        raise TrainingError(
            "finetune runs in one process.",
            f"It was launched as {accelerator.num_processes}.",
            "Start it with python, not with accelerate launch or torchrun.",
        )
    return accelerator


def _objective(model: nn.Module, network: nn.Module | None, settings: Settings) -> Objective:
    teacher = None if network is None else Teacher(network.eval(), settings.teacher_share)
    adapter = recipe_of(model).adapter
    if adapter is not None:
        objective: Objective = plugins.adapter(adapter).objective(model, teacher, settings.epochs)
        return objective
    from greenadapt.adapters.distillation import Distillation

    return Distillation(model, teacher)


def _current(device: str) -> AbstractContextManager[Any]:
    """Has accelerate, which takes the current board, train on the board that is meant, and is measured."""
    import torch

    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


@contextmanager
def _as_found(model: nn.Module, teacher: nn.Module | None) -> Iterator[None]:
    """Objectives freeze parameters and put teachers in eval mode; neither is meant to outlast them."""
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    teaching = teacher is not None and teacher.training
    try:
        yield
    finally:
        for parameter, requires_grad in frozen:
            parameter.requires_grad_(requires_grad)
        if teacher is not None:
            teacher.train(teaching)


def _metered(meter: str | None, device: str) -> AbstractContextManager[Any]:
    if meter is None:
        return nullcontext()
    from greenadapt.auditing import window

    return window(meter=meter, device=device)


def _record(run: Run, train: Any, teacher: nn.Module | None, window: Any) -> Training:
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
        mixup=run.settings.mixup,
        teacher_share=None if teacher is None else run.settings.teacher_share,
        freeze_norms=run.settings.freeze_norms,
        adapter=recipe_of(run.model).adapter,
        input_shape=tuple(next(iter(run.loader))[0].shape[1:]),
        objective=run.objective.name,
        teacher=None if teacher is None else _name_of(teacher),
        seconds=run.seconds,
        joules=getattr(window, "joules", None),
        energy_kind=getattr(window, "kind", None) if getattr(window, "joules", None) is not None else None,
        val_top1=run.curve[-1].get("val_top1") if run.curve else None,
        curve=run.curve,
    )


def _name_of(teacher: nn.Module) -> str:
    """Its reference; of a stranger's network, its class."""
    try:
        return recipe_of(teacher).base.reference
    except ModelError:
        return type(teacher).__name__


def _listed(data: Any, name: str) -> list[float] | None:
    values = getattr(getattr(data, "dataset", data), name, None)
    return None if values is None else [float(value) for value in values]

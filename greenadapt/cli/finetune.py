"""``greenadapt finetune``: win the accuracy of a retrofit back, or train a plain network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli import output
from greenadapt.cli.data import data_options, open_data
from greenadapt.cli.options import json_option, model_options, open_model, packed, seed_weights

if TYPE_CHECKING:
    from greenadapt.recipe import Training

_settings = packed(
    "settings",
    click.option("--epochs", type=click.IntRange(min=1), default=5, show_default=True),
    click.option("-b", "--batch-size", type=click.IntRange(min=1), default=128, show_default=True),
    click.option(
        "--lr",
        "learning_rate",
        type=click.FloatRange(min=0, min_open=True),
        help="Highest learning rate.  [default: the objective's]",
    ),
    click.option(
        "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True
    ),
    click.option(
        "--mixup",
        type=click.FloatRange(min=0),
        default=0.0,
        show_default=True,
        metavar="ALPHA",
        help="Mix images in pairs; with --teacher 1 is a good choice, and wants more epochs.",
    ),
    click.option(
        "--teacher-share",
        type=click.FloatRange(min=0, max=1, min_open=True),
        default=0.5,
        show_default=True,
        help="Share of the loss that --teacher has; 1 looks at no label.",
    ),
    click.option(
        "--freeze-norms",
        is_flag=True,
        help="Batch norms keep their statistics: for few images and small batches.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option(
        "--meter", default="auto", show_default=True, help="Instrument for the joules spent, or 'none'."
    ),
    click.option(
        "--device", default="auto", show_default=True, help="A torch device, such as cpu or cuda:0."
    ),
    click.option("--resume", is_flag=True, help="Go on where the same command was interrupted."),
)


@click.command()
@click.argument("model")
@click.option(
    "--data", "source", required=True, help="Training images: a folder, a zip, or fashion-mnist-2000."
)
@click.option("--val", help="Images for the top-1 after each epoch; default: those beside the training's.")
@data_options
@_settings
@click.option("--teacher", metavar="MODEL", help="Network to learn from; 'base' is the one that was wrapped.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the result.  [default: MODEL-finetuned]"
)
@click.option("--overwrite", is_flag=True, help="Replace a saved model that is in the folder already.")
@model_options
@json_option
def finetune(
    model: str,
    source: str,
    val: str | None,
    limits: dict[str, Any],
    settings: dict[str, Any],
    teacher: str | None,
    out: Path | None,
    overwrite: bool,
    opening: dict[str, Any],
    as_json: bool,
) -> None:
    """Win a retrofit's accuracy back, or train a plain network.

    MODEL is a saved retrofit, or a name such as resnet18.a1_in1k; the result goes to a folder of its own.
    Ctrl-C leaves a checkpoint beside the folder; the same command with --resume goes on from it.
    """
    from greenadapt import models, storage
    from greenadapt.finetuning import finetune as train_model

    folder = storage.check_writable(out or _default_folder(model), overwrite)
    seed_weights(settings["seed"])
    network = open_model(model, opening)
    train, validation = _images(source, val, network, limits)
    tutor = _teacher(teacher, network, opening)
    settings["meter"] = None if settings["meter"] == "none" else settings["meter"]
    with _checkpoint(folder) as checkpoint, output.progress(history=True) as progress:
        training = train_model(
            network,
            train,
            val=validation,
            teacher=tutor,
            checkpoint=checkpoint,
            progress=progress,
            **settings,
        )
        models.save(network, folder, overwrite=overwrite)
    if as_json:
        output.result_json({**training.model_dump(mode="json"), "saved": str(folder)})
    else:
        output.result(_summary(training))
        output.say(f"Saved in {folder}. Next: greenadapt audit {folder} --data {val or source}")


@contextmanager
def _checkpoint(folder: Path) -> Iterator[Path]:
    """Where the state after each epoch is kept until the result is saved."""
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    try:
        yield checkpoint
    except KeyboardInterrupt:
        if checkpoint.exists():
            output.say(
                f"The last whole epoch is kept in {checkpoint}: go on with the same command and --resume."
            )
        raise
    checkpoint.unlink(missing_ok=True)


def _default_folder(model: str) -> Path:
    """Beside a saved model, else in ``out``."""
    path = Path(model)
    if path.is_dir():
        return path.with_name(f"{path.name}-finetuned")
    return Path("out") / f"{model.rpartition(':')[2].replace('/', '_')}-finetuned"


def _images(source: str, val: str | None, network: Any, limits: Mapping[str, Any]) -> tuple[Any, Any]:
    """The images to train on, and those to validate on: given, or beside the training's, or None."""
    from greenadapt.errors import DataError

    train = open_data(source, network, limits, default_split="train", augment=True)
    if val is not None:
        return train, open_data(val, network, {**limits, "split": None})
    reason = f"{source} has no split for it."
    # Data without splits come whole, and whole again they would only be the training's images.
    for split in (each for each in ("val", "test") if train.split not in ("all", each)):
        try:
            return train, open_data(source, network, {**limits, "split": split})
        except DataError as error:
            reason = error.happened
    output.say(f"No top-1 after each epoch: {reason}")
    return train, None


def _teacher(reference: str | None, network: Any, opening: Mapping[str, Any]) -> Any:
    from greenadapt import models
    from greenadapt.errors import ModelError

    if reference is None:
        return None
    if reference != "base":
        return open_model(reference, opening, saved_as_is=True)
    recipe = models.recipe_of(network)
    base = recipe.base
    if base.weights != "pretrained" or recipe.training:
        raise ModelError(
            "The base of this model cannot be opened again as a teacher.",
            f"Its weights are {base.weights}, not those published as {base.reference}.",
            "Name the teacher: --teacher FOLDER, or a name such as embedded:resnet20.",
        )
    return models.open_model(base.reference, **base.model_args)


def _summary(training: Training) -> str:
    from greenadapt.units import with_prefix

    size = f"{training.images:,} images in {training.epochs} epoch{'s' if training.epochs > 1 else ''}"
    lines = [f"{training.objective}: {size}, in {training.seconds:.0f} s"]
    if training.val_top1 is not None:
        lines.append(f"top-1 {training.val_top1 * 100:.2f} % on the validation images")
    joules = training.joules
    energy = "unknown" if joules is None else f"{with_prefix(joules, 'J')}, {training.energy_kind}"
    return "\n".join([*lines, f"energy of the training: {energy}"])

"""``greenadapt wrap``: retrofit a model and save it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from greenadapt.cli import output
from greenadapt.cli.options import (
    adapter_options,
    json_option,
    model_options,
    open_model,
    packed,
    seed_weights,
)

_timing_options = packed(
    "timing",
    click.option(
        "-b",
        "--batch-size",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Images at a time in the timings of --dry-run.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="Where --dry-run times: a torch device, such as cpu or cuda:0.",
    ),
)


@click.command()
@click.argument("model")
@click.option(
    "-a", "--adapter", required=True, help="Such as blockdrop or biglittle; see: greenadapt adapters list"
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the adapter, as in keep=0.6; may be repeated. See: adapters list --adapter NAME",
)
@click.option(
    "--begin-from",
    metavar="FOLDER",
    help="Begin where this saved retrofit of the same network has ended: with its weights and its path.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to save the retrofit in.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Say what would change and, after a few seconds of timing, what it could save here; write nothing.",
)
@_timing_options
@click.option("--overwrite", is_flag=True, help="Replace a saved model that is in the folder already.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the new layers' random weights.")
@model_options
@json_option
def wrap(
    model: str,
    adapter: str,
    options: tuple[str, ...],
    begin_from: str | None,
    out: Path | None,
    dry_run: bool,
    timing: dict[str, Any],
    overwrite: bool,
    seed: int,
    as_json: bool,
    opening: dict[str, Any],
) -> None:
    """Retrofit a model so that it can spend less.

    MODEL is a name such as resnet50.a1_in1k, or a saved folder. A fresh retrofit has still to win its
    accuracy back: greenadapt finetune.
    """
    from greenadapt import models, storage

    if out is None and not dry_run:
        raise click.UsageError("Give --out FOLDER, or --dry-run to see what would change.")
    if out is not None and not dry_run:
        storage.check_writable(out, overwrite)
    values = adapter_options(adapter, options)
    seed_weights(seed)
    base = open_model(model, opening)
    thin = models.wrap(base, adapter, inplace=not dry_run, **values)
    if begin_from is not None:
        _begin(adapter, thin, begin_from)
    description = models.describe(thin)
    saved = models.save(thin, out, overwrite=overwrite) if out is not None and not dry_run else None
    expected = _tried(adapter, base, thin, **timing) if dry_run else None
    if as_json:
        content = {**asdict(description), "saved": str(saved) if saved else None}
        output.result_json(content if expected is None else {**content, "dry_run": asdict(expected)})
        return
    output.result(str(description))
    if expected is not None:
        output.result(f"\n{expected}")
    if saved is not None:
        # Random weights have nothing to teach.
        teacher = "" if models.recipe_of(thin).base.weights == "random" else f" --teacher {model}"
        output.say(f"Saved in {saved}. Next: greenadapt finetune {saved} --data FOLDER{teacher}")


def _begin(adapter: str, thin: Any, folder: str) -> None:
    """Has a fresh retrofit begin where a saved one has ended."""
    from greenadapt import models, plugins
    from greenadapt.errors import OptionError

    begin = getattr(plugins.adapter(adapter), "begin_from", None)
    if begin is None:
        raise OptionError(
            f"The adapter {adapter!r} cannot begin from another retrofit.",
            f"--begin-from {folder}",
            "Leave it out, and fine-tune the fresh retrofit.",
        )
    begin(thin, models.load(folder))
    output.say(f"It begins where {folder} has ended.")


def _tried(adapter: str, base: Any, thin: Any, batch_size: int, device: str) -> Any:
    """What the adapter expects of a retrofit on a device; None if it cannot say."""
    from greenadapt import plugins
    from greenadapt.machine import resolve_device

    look = getattr(plugins.adapter(adapter), "dry_run", None)
    if look is None:
        return None
    place = resolve_device(device)
    output.say(f"timing on {place} ...")
    return look(base.to(place), thin.to(place), batch_size)

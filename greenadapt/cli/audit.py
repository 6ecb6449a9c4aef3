"""``greenadapt audit``: measure joules, time and accuracy of one model or of several, interleaved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli import output
from greenadapt.cli.compare import write_page
from greenadapt.cli.data import data_options, open_data
from greenadapt.cli.options import json_option, model_options, open_model, packed

if TYPE_CHECKING:
    from greenadapt.profile import Plan, Profile

_THE_ANSWER_IS_NO = 1
_plan_options = packed(
    "wishes",
    click.option("-b", "--batch-size", type=click.IntRange(min=1), default=32, show_default=True),
    click.option(
        "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True
    ),
    click.option(
        "--trials", type=click.IntRange(min=2), help="Counted trials per model.  [default: 10; quick: 4]"
    ),
    click.option(
        "--trial-seconds",
        type=click.FloatRange(min=0, min_open=True),
        help="Length of each trial.  [default: 5; quick: 1]",
    ),
    click.option("--quick", is_flag=True, help="A first look in seconds; its intervals are wide."),
    click.option(
        "--meter", default="auto", show_default=True, help="Instrument; see: greenadapt meters list"
    ),
    click.option(
        "--device", default="auto", show_default=True, help="A torch device, such as cpu or cuda:0."
    ),
)
_output_options = packed(
    "outputs",
    click.option(
        "--out", type=click.Path(path_type=Path), help="Profile to write; of several models, a folder."
    ),
    click.option(
        "--page", type=click.Path(path_type=Path), help="Also write a page that compares the models."
    ),
)


@click.command()
@click.argument("references", metavar="MODEL...", nargs=-1, required=True)
@click.option("--data", "source", help="Labelled images: a folder, a zip, or the name of embedded data.")
@click.option("--random-data", is_flag=True, help="Random images: no accuracy, and power that may differ.")
@data_options
@_plan_options
@click.option(
    "--place", "places", multiple=True, metavar="ISO", help="Country of the grid, such as FRA; repeatable."
)
@_output_options
@click.option("--strict", is_flag=True, help="Exit with 1 if a profile is not valid.")
@model_options
@json_option
def audit(
    references: tuple[str, ...],
    source: str | None,
    random_data: bool,
    limits: dict[str, Any],
    wishes: dict[str, Any],
    places: tuple[str, ...],
    outputs: dict[str, Path | None],
    strict: bool,
    opening: dict[str, Any],
    as_json: bool,
) -> None:
    """Measure energy, time and accuracy of one model or several.

    MODEL is a name such as resnet50.a1_in1k, or a saved folder. Several models are measured interleaved, so
    that heat and clock drift cancel. The first of several is the base that the others are compared with.
    """
    if source is not None and random_data:
        raise click.UsageError("Give --data or --random-data, not both.")
    if source is None and not random_data:
        output.say("No --data: random images, so no accuracy.")
    if len(set(references)) < len(references):
        raise click.UsageError(
            "A model is given twice. Name each once; copy a folder to compare it with itself."
        )
    plan = _plan(**wishes)
    _check_outputs(several=len(references) > 1, **outputs)
    models = [open_model(each, opening, saved_as_is=len(references) > 1) for each in references]
    data = None if source is None else open_data(source, models[0], limits)
    profiles = run_audit(dict(zip(names_of(references), models, strict=True)), data, plan, places)
    hand_over(profiles, as_json=as_json, **outputs)
    if strict and any(profile.validity.status != "valid" for profile in profiles):
        click.get_current_context().exit(_THE_ANSWER_IS_NO)


def run_audit(
    models: Mapping[str, Any],
    data: Any,
    plan: Plan,
    places: Sequence[str] = (),
    roles: Mapping[str, str] | None = None,
) -> list[Profile]:
    """Audits models by name, with a bar or lines on stderr; a list even of one."""
    from greenadapt.auditing import audit as measure_models

    with output.progress() as progress:
        found = measure_models(
            *models.values(),
            data=data,
            plan=plan,
            names=list(models),
            places=places,
            roles=roles,
            progress=progress,
        )
    return found if isinstance(found, list) else [found]


def hand_over(profiles: Sequence[Profile], *, out: Path | None, page: Path | None, as_json: bool) -> None:
    """Writes the profiles and the page where they are wanted, and prints the result.

    Raises:
        MissingExtraError: A page is wanted and the extra "pages" is not installed.
        StorageError: A file cannot be written.
    """
    from greenadapt.comparison import compare
    from greenadapt.profile_text import profile_text

    files = _write(profiles, out)
    comparison = compare(*profiles) if len(profiles) > 1 else None
    if as_json:
        content = [profile.model_dump(mode="json") for profile in profiles]
        output.result_json(content if comparison else content[0])
    else:
        output.result(str(comparison) if comparison else profile_text(profiles[0]))
    if comparison and page is not None:
        write_page(comparison, page, [str(file) for file in files])


def names_of(references: Sequence[str]) -> list[str]:
    """A short name per reference, the folder's or the model's own; all of it where that is not distinct."""
    short = [reference.rstrip("/").rpartition("/")[2].rpartition(":")[2] for reference in references]
    counts = Counter(short)
    return [
        name if name and counts[name] == 1 else reference
        for name, reference in zip(short, references, strict=True)
    ]


def _check_outputs(*, several: bool, out: Path | None, page: Path | None) -> None:
    """Finds out before the measurement, not after it, that its results can be kept."""
    from greenadapt.pages import check_installed
    from greenadapt.storage import check_place

    if page is not None and not several:
        raise click.UsageError("--page compares models: give two or more.")
    if out is not None and several and (out.suffix == ".json" or out.is_file()):
        raise click.UsageError(f"Several models need a folder, and {out} is a file's name.")
    if page is not None:
        check_installed()
    for path in (out, page):
        if path is not None:
            check_place(path)


def _write(profiles: Sequence[Profile], out: Path | None) -> list[Path]:
    from greenadapt.storage import write_text

    if out is None:
        return []
    one_file = len(profiles) == 1 and out.suffix == ".json"
    files = [out if one_file else out / f"{_file_name(profile.subject.name)}.json" for profile in profiles]
    for file, profile in zip(files, profiles, strict=True):
        write_text(file, profile.to_json())
        output.say(f"Profile: {file}")
    return files


def _plan(quick: bool, **wishes: Any) -> Plan:
    from pydantic import ValidationError

    from greenadapt.errors import OptionError
    from greenadapt.profile import Plan

    given = {name: value for name, value in wishes.items() if value is not None}
    try:
        return Plan.quick_look(**given) if quick else Plan(**given)
    except ValidationError as error:
        fault = error.errors()[0]
        name = "--" + str(fault["loc"][0]).replace("_", "-")
        raise OptionError(
            f"{name} is out of range.", f"{fault['msg']}.", "See: greenadapt audit --help"
        ) from error


def _file_name(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._-" else "_" for char in name)

"""``greenadapt audit``: measure joules, time and accuracy of one model or of several, interleaved."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli import output
from greenadapt.cli.carbon import carbon_inputs, carbon_options
from greenadapt.cli.compare import write_page
from greenadapt.cli.data import data_options, open_data
from greenadapt.cli.options import json_option, model_options, open_model, packed
from greenadapt.cli.plans import (
    check_meter,
    outlook,
    outlook_words,
    plan_of,
    plan_options,
    split_sweep,
    sweep_option,
)

if TYPE_CHECKING:
    from greenadapt.carbon import CarbonInputs
    from greenadapt.comparison.result import Comparison
    from greenadapt.profile import Plan, Profile

_THE_ANSWER_IS_NO = 1
_output_options = packed(
    "outputs",
    click.option(
        "--out", type=click.Path(path_type=Path), help="Profile to write; of several models, a folder."
    ),
    click.option(
        "--page",
        type=click.Path(path_type=Path),
        help="Also write a page that compares them: takes two models, or settings of one, or more.",
    ),
)


@click.command()
@click.argument("references", metavar="MODEL...", nargs=-1, required=True)
@click.option("--data", "source", help="Labelled images: a folder, a zip, or fashion-mnist-2000.")
@click.option("--random-data", is_flag=True, help="Random images: no accuracy, and power that may differ.")
@data_options
@plan_options
@sweep_option
@carbon_options
@_output_options
@click.option("--dry-run", is_flag=True, help="Print what would run and how long it takes; open nothing.")
@click.option("--strict", is_flag=True, help="Exit with 1 if a profile is not valid.")
@model_options
@json_option
def audit(
    references: tuple[str, ...],
    source: str | None,
    random_data: bool,
    limits: dict[str, Any],
    wishes: dict[str, Any],
    settings: tuple[str, ...],
    grids: dict[str, Any],
    outputs: dict[str, Path | None],
    dry_run: bool,
    strict: bool,
    opening: dict[str, Any],
    as_json: bool,
) -> None:
    """Measure energy, time and accuracy of one model or several.

    MODEL is a name such as resnet50.a1_in1k, or a saved folder. Several models are measured interleaved, so
    that heat and clock drift cancel. The first of several is the base that the others are compared with.
    With --sweep a model under each combination of settings is a rival in the same run.
    """
    from greenadapt.auditing.settings import varied

    sweep, models = split_sweep(settings, references)
    _check_calls(models, source, random_data, limits)
    plan, carbon = plan_of(**wishes), carbon_inputs(grids)
    check_meter(plan.meter)
    planned = outlook(plan, names_of(models), sweep)
    if dry_run:
        _tell_plan(planned, as_json)
        return
    if source is None and not random_data:
        output.say("No --data: random images, so no accuracy.")
    _check_outputs(several=len(planned["rivals"]) > 1, **outputs)
    opened = [open_model(each, opening, saved_as_is=len(models) > 1) for each in models]
    data = None if source is None else open_data(source, opened[0], limits)
    networks = dict(zip(names_of(models), opened, strict=True))
    profiles = run_audit(networks, data, plan, carbon=carbon, sweep=sweep)
    hand_over(profiles, as_json=as_json, across=varied(sweep), **outputs)
    if strict and any(profile.validity.status != "valid" for profile in profiles):
        click.get_current_context().exit(_THE_ANSWER_IS_NO)


def _check_calls(
    references: Sequence[str], source: str | None, random_data: bool, limits: Mapping[str, Any]
) -> None:
    if not references:
        raise click.UsageError("Missing argument 'MODEL...'.")
    if source is not None and random_data:
        raise click.UsageError("Give --data or --random-data, not both.")
    idle = [f"--{name.replace('_', '-')}" for name, value in limits.items() if value]
    if source is None and idle:
        raise click.UsageError(
            f"{' and '.join(idle)} without --data: random images are such as each network was made for."
        )
    if len(set(references)) < len(references):
        raise click.UsageError(
            "A model is given twice. Name each once; copy a folder to compare it with itself."
        )


def _tell_plan(planned: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        output.result_json(planned)
    else:
        output.result("\n".join([outlook_words(planned), *(f"  {name}" for name in planned["rivals"])]))


def run_audit(
    models: Mapping[str, Any],
    data: Any,
    plan: Plan,
    *,
    roles: Mapping[str, str] | None = None,
    carbon: CarbonInputs | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
) -> list[Profile]:
    """Audits models by name, with the time it takes and a bar or lines on stderr; a list even of one."""
    from greenadapt.auditing import audit as measure_models

    output.say(outlook_words(outlook(plan, list(models), sweep or {})))
    with output.progress() as progress:
        found = measure_models(
            *models.values(),
            data=data,
            plan=plan,
            names=list(models),
            roles=roles,
            progress=progress,
            sweep=sweep,
            carbon=carbon,
        )
    return found if isinstance(found, list) else [found]


def hand_over(
    profiles: Sequence[Profile],
    *,
    out: Path | None,
    page: Path | None,
    as_json: bool,
    across: Sequence[str] = (),
) -> None:
    """Writes the profiles and the page where they are wanted, and prints the result.

    Args:
        profiles: Of one run, the base first.
        out: A file for one, a folder for several.
        page: Where the page of the comparison goes.
        as_json: Print JSON: the profile or a list of them; of a sweep, profiles and comparison.
        across: What was swept.

    Raises:
        MissingExtraError: A page is wanted and the extra "pages" is not installed.
        StorageError: A file cannot be written.
    """
    from greenadapt.comparison import compare
    from greenadapt.profile_text import profile_text

    files = _write(profiles, out)
    comparison = compare(*profiles, across=across) if len(profiles) > 1 else None
    if as_json:
        output.result_json(_json_content(profiles, comparison, swept=bool(across)))
    else:
        output.result(str(comparison) if comparison else profile_text(profiles[0]))
    if comparison and page is not None:
        write_page(comparison, page, [str(file) for file in files])


def _json_content(profiles: Sequence[Profile], comparison: Comparison | None, *, swept: bool) -> Any:
    content = [profile.model_dump(mode="json") for profile in profiles]
    if swept:
        told = json.loads(comparison.to_json()) if comparison is not None else None
        return {"format": "greenadapt/sweep", "profiles": content, "comparison": told}
    return content if comparison is not None else content[0]


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
        raise click.UsageError("--page compares models or settings: give two or more.")
    if out is not None and several and (out.suffix == ".json" or out.is_file()):
        raise click.UsageError(f"Several profiles need a folder, and {out} is a file's name.")
    for file in (page, out if out is not None and out.suffix == ".json" else None):
        if file is not None and file.is_dir():
            raise click.UsageError(f"{file} is a folder.")
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


def _file_name(name: str) -> str:
    return "".join(char if char.isalnum() or char in "._-@," else "_" for char in name)

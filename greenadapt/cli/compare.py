"""``greenadapt compare``: profiles side by side, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option

if TYPE_CHECKING:
    from greenadapt.comparison.result import Comparison

_THE_ANSWER_IS_NO = 1


@click.command()
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("others", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--across",
    multiple=True,
    metavar="NAME,...",
    help="Conditions that may differ, such as precision,compile,batch: the table says what each buys. Also "
    "format, threads, power-limit, torch, driver.",
)
@click.option(
    "--fail-if",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="Exit with 1 if it holds for a retrofit, as in 'energy > -10%', 'latency > -5%' or 'top1 < -1' "
    "(points). About energy, latency, flops, parameters, top1; may be repeated.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "md", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the comparison.",
)
@click.option("--page", type=click.Path(path_type=Path), help="Also write it as a page that works offline.")
@json_option
@click.pass_context
def compare(
    context: click.Context,
    base: Path,
    others: tuple[Path, ...],
    across: tuple[str, ...],
    conditions: tuple[str, ...],
    form: str,
    page: Path | None,
    as_json: bool,
) -> None:
    """Put profiles side by side, with a verdict.

    The profiles OTHERS are held against the profile BASE. Profiles of one run are compared trial by trial;
    profiles whose conditions differ are refused, unless --across names what may differ.
    """
    from greenadapt.comparison import compare as put_side_by_side
    from greenadapt.profile_files import read_profile

    names = [name.strip() for text in across for name in text.split(",") if name.strip()]
    profiles = [read_profile(path) for path in (base, *others)]
    comparison = put_side_by_side(*profiles, across=names)
    failures = [line for condition in conditions for line in comparison.fail_if(condition)]
    if page is not None:
        write_page(comparison, page, [str(path) for path in (base, *others)])
    output.result(printed(comparison, "json" if as_json else form))
    for line in failures:
        output.say(line)
    if failures:
        context.exit(_THE_ANSWER_IS_NO)


def printed(comparison: Comparison, form: str) -> str:
    """A comparison as text: table, md, csv or json."""
    texts = {
        "table": comparison.__str__,
        "md": comparison.to_markdown,
        "csv": comparison.to_csv,
        "json": comparison.to_json,
    }
    return texts[form]().rstrip("\n")


def write_page(comparison: Comparison, path: Path, files: list[str]) -> None:
    """Writes the page of a comparison.

    Args:
        comparison: What it shows.
        path: Where to.
        files: Where the profiles lie, for the command that makes the page again.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
        StorageError: The file cannot be written.
    """
    from greenadapt.pages.comparison import comparison_page
    from greenadapt.storage import write_text

    write_text(path, comparison_page(comparison, files))
    output.say(f"Page: {path}")

"""``greenadapt show``: one profile as text, and as a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli import output
from greenadapt.cli.data import data_options
from greenadapt.cli.options import json_option

if TYPE_CHECKING:
    from greenadapt.profile import Profile


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--trials", is_flag=True, help="Show every trial as well.")
@click.option("--page", type=click.Path(path_type=Path), help="Also write it as a page that works offline.")
@click.option(
    "--data",
    "source",
    help="The images of the audit: small pictures of the easy and the hard ones are copied into the page.",
)
@data_options
@json_option
def show(
    profile: Path, trials: bool, page: Path | None, source: str | None, limits: dict[str, Any], as_json: bool
) -> None:
    """Show one profile.

    PROFILE is a file that `audit --out` wrote, or a saved folder with one in it.
    """
    from greenadapt.profile_files import read_profile
    from greenadapt.profile_text import profile_text

    if source is not None and page is None:
        raise click.UsageError("--data is for the pictures of a page: give --page too.")
    read = read_profile(profile)
    if page is not None:
        _write_page(read, page, source, limits)
    output.result(read.to_json().rstrip("\n") if as_json else profile_text(read, trials))


def _write_page(profile: Profile, page: Path, source: str | None, limits: dict[str, Any]) -> None:
    from greenadapt.pages import check_installed
    from greenadapt.pages.profile import profile_page
    from greenadapt.storage import check_place, write_text

    check_installed()
    check_place(page)
    images = None
    if source is not None:
        from greenadapt.data import open_data

        view = {name: value for name, value in limits.items() if value is not None}
        images = open_data(source, in_chans=view.pop("channels", None), **view)
    write_text(page, profile_page(profile, images))
    output.say(f"Page: {page}")

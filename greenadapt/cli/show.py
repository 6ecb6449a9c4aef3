"""``greenadapt show``: one profile as text."""

from __future__ import annotations

from pathlib import Path

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--trials", is_flag=True, help="Show every trial as well.")
@json_option
def show(profile: Path, trials: bool, as_json: bool) -> None:
    """Show one profile.

    PROFILE is a file that `audit --out` wrote, or a saved folder with one in it.
    """
    from greenadapt.profile_files import read_profile
    from greenadapt.profile_text import profile_text

    read = read_profile(profile)
    output.result(read.to_json().rstrip("\n") if as_json else profile_text(read, trials))

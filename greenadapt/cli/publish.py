"""``greenadapt publish``: hand a finished folder on."""

from __future__ import annotations

from pathlib import Path

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--to", required=True, metavar="WHERE", help="profiles, profiles:FOLDER or hf-hub:me/name.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@json_option
def publish(folder: Path, to: str, dry_run: bool, as_json: bool) -> None:
    """Hand a saved model with its profile on.

    FOLDER holds the model and its profile.json.
    """
    from greenadapt.publishing import publish as hand_on

    place = hand_on(folder, to=to, dry_run=dry_run)
    if as_json:
        output.result_json({"published": place, "dry_run": dry_run})
    else:
        output.result(f"{'Would be published' if dry_run else 'Published'}: {place}")

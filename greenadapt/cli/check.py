"""``greenadapt check``: schema, and every derived number computed again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option

_THE_ANSWER_IS_NO = 1


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
@click.pass_context
def check(context: click.Context, paths: tuple[Path, ...], as_json: bool) -> None:
    """Compute every derived number of profiles again.

    PATHS are profiles, or folders with profiles in them. Exit code 1 if a number is not what the stored
    trials give, 2 if a file cannot be read as a profile.
    """
    from greenadapt.profile_files import read_profile
    from greenadapt.recompute import differences

    profiles = {str(path): read_profile(path) for path in _profiles(paths)}
    others = list(profiles.values())
    found = {path: list(differences(profile, others)) for path, profile in profiles.items()}
    if as_json:
        output.result_json([{"path": path, "differences": lines} for path, lines in found.items()])
    else:
        output.result("\n".join(_lines(found)))
    if any(found.values()):
        context.exit(_THE_ANSWER_IS_NO)


def _lines(found: dict[str, list[str]]) -> Iterator[str]:
    for path, lines in found.items():
        yield f"{path}: {'changed' if lines else 'ok'}"
        yield from (f"  {line}" for line in lines)


def _profiles(paths: Iterable[Path]) -> Iterator[Path]:
    from greenadapt.errors import ProfileError

    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = [file for file in sorted(path.rglob("*.json")) if _may_be_a_profile(file)]
        if not inside:
            raise ProfileError(
                f"There is no profile in {path}.",
                "No JSON file in it is one.",
                "Name a file or another folder.",
            )
        yield from inside


def _may_be_a_profile(file: Path) -> bool:
    """False for JSON that says it is something else; a broken file may be a profile, and is then reported."""
    from greenadapt.profile import Profile

    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    ours: str = Profile.model_fields["format"].default
    return isinstance(content, dict) and content.get("format") == ours

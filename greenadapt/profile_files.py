"""Reading efficiency profiles from files, with an error that says where a bad one is bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from greenadapt.errors import ProfileError
from greenadapt.profile import SCHEMA_VERSION, Profile

_FORMAT = "greenadapt/efficiency-profile"
_SHOWN = 8
_AUDIT_AGAIN = "Audit the model again, or take the file from where it was published."


def read_profile(path: str | Path) -> Profile:
    """Reads one profile; a folder saved by `greenadapt.save` stands for the profile in it.

    Args:
        path: A JSON file, or a folder with a ``profile.json``.

    Raises:
        ProfileError: There is no such file, it is no JSON, it is no efficiency profile, or it was
            written by a newer version.
    """
    file = Path(path)
    if file.is_dir():
        folder, file = file, file / "profile.json"
        if not file.exists():
            raise _none_chosen(folder)
    return parse_profile(_text(file), str(file))


def _none_chosen(folder: Path) -> ProfileError:
    """The error about a folder that is not a saved network: it names what there is to choose from."""
    there = sorted(each.name for each in folder.glob("*.json") if _names_itself_profile(each))
    if not there:
        return ProfileError(
            f"There is no profile in {folder}.",
            "It has no profile.json and no other profile.",
            "Make one with: greenadapt audit MODEL --out P.json",
        )
    shown = ", ".join(there[:_SHOWN]) + (f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else "")
    return ProfileError(
        f"{folder} has no profile.json, so it stands for no single profile.",
        f"The profiles in it are: {shown}.",
        f"Name one of them, such as {folder / there[0]}.",
    )


def _names_itself_profile(file: Path) -> bool:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == _FORMAT


def parse_profile(text: str, where: str) -> Profile:
    """Reads one profile from JSON text.

    Args:
        text: The JSON.
        where: What to call it in an error, usually the file's path.

    Raises:
        ProfileError: See `read_profile`.
    """
    content = _content(text, where)
    _check_header(content, where)
    try:
        return Profile.model_validate_json(text)
    except ValidationError as error:
        raise ProfileError(f"{where} breaks the profile schema.", _faults(error), _AUDIT_AGAIN) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ProfileError(
            f"There is no profile at {file}.",
            "No such file.",
            "Make one with: greenadapt audit MODEL --out P.json",
        ) from error
    except OSError as error:
        raise ProfileError(
            f"{file} cannot be read.", f"{error.strerror}.", "Check the path and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise ProfileError(
            f"{file} is not a profile.", f"It is not UTF-8 text: byte {error.start}.", _AUDIT_AGAIN
        ) from error


def _content(text: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ProfileError(
            f"{where} is not complete JSON.",
            f"At line {error.lineno}, column {error.colno}: {error.msg}.",
            "The file may be truncated. " + _AUDIT_AGAIN,
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ProfileError(
            f"{where} is not an efficiency profile.",
            f"Its format is {found!r}, not {_FORMAT!r}.",
            "Give a file that `greenadapt audit --out` wrote.",
        )
    return content


def _check_header(content: dict[str, Any], where: str) -> None:
    """A newer profile may have fields that this version forbids, so its version is read first."""
    version = content.get("schema_version", SCHEMA_VERSION)
    try:
        newer = [int(part) for part in str(version).split(".")] > [
            int(part) for part in SCHEMA_VERSION.split(".")
        ]
    except ValueError:
        newer = True
    if newer:
        raise ProfileError(
            f"{where} was written by a newer greenadapt.",
            f"It is schema {version}; this greenadapt reads up to {SCHEMA_VERSION}.",
            "Run: pip install --upgrade greenadapt",
        )


def _faults(error: ValidationError) -> str:
    faults = error.errors()
    shown = [f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in faults[:3]]
    more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
    return "; ".join(shown) + more + "."

"""``profiles`` or ``profiles:FOLDER``: the profile goes into a folder, whose index is made anew.

Conditions are part of the number, so they are part of the file name:

    resnet20-blockdrop--nvidia-h100-80gb-hbm3--b32--fp16.json

A profile replaces the one of the same name only if it is of the same weights under the same conditions;
otherwise the start of its identifier is added. ``index.json`` lists what there is, for pages and scripts.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from greenadapt.profile import Profile
from greenadapt.profile_files import read_profile
from greenadapt.publishers.rules import publishable_profile, why_off_leaderboards
from greenadapt.storage import write_text

INDEX_FILE = "index.json"
INDEX_FORMAT = "greenadapt/profile-index"
INDEX_VERSION = 1
_DEFAULT_FOLDER = "profiles"
_ID_DIGITS = 8


class ProfilesPublisher:
    """A folder of profiles; a `greenadapt.interfaces.Publisher`."""

    def publish(self, folder: Path, target: str, dry_run: bool) -> str:
        """Copies the profile of a finished folder and makes the index anew.

        Args:
            folder: A folder made by `greenadapt.save` with a profile in it.
            target: The folder of profiles; empty for ``profiles`` in the working directory.
            dry_run: Check everything, write nothing.

        Returns:
            Path of the profile's copy.

        Raises:
            StorageError: There is no profile, or the target cannot be written.
            ProfileError: The profile is not fit to be published, or one that is there cannot be read.
        """
        profile = publishable_profile(folder)
        home = Path(target or _DEFAULT_FOLDER).expanduser()
        # Read before anything is written, so that a broken neighbour leaves the folder as it was.
        profiles = published(home)
        name = _free_name(profile, profiles)
        profiles[name] = profile
        if not dry_run:
            write_text(home / name, profile.to_json())
            write_text(home / INDEX_FILE, index_text(profiles))
        return str(home / name)


def published(folder: Path) -> dict[str, Profile]:
    """Every profile in a folder of profiles, by file name.

    Raises:
        ProfileError: One of the files cannot be read as a profile.
    """
    return {
        file.name: read_profile(file) for file in sorted(folder.glob("*.json")) if file.name != INDEX_FILE
    }


def file_name(profile: Profile) -> str:
    """The name of a profile's file: network, device, batch size and precision."""
    conditions = profile.conditions
    batch = f"b{conditions.batch_size}"
    parts = (_slug(profile.subject.name), _slug(conditions.device), batch, conditions.precision)
    return "--".join(parts) + ".json"


def index_text(profiles: dict[str, Profile]) -> str:
    """The index of some profiles, as JSON.

    Args:
        profiles: By file name.

    Returns:
        One entry per profile, in the order of file names. ``joules_per_inference`` and ``top1`` are null
        where they are unknown; ``off_leaderboards`` says why a profile must not be ranked, or is null.
    """
    index = {
        "format": INDEX_FORMAT,
        "version": INDEX_VERSION,
        "profiles": [_entry(name, profiles[name]) for name in sorted(profiles)],
    }
    return json.dumps(index, indent=2) + "\n"


def _entry(file: str, profile: Profile) -> dict[str, Any]:
    joules = profile.summary.joules_per_inference
    return {
        "id": profile.profile_id,
        "name": profile.subject.name,
        "file": file,
        "device": profile.conditions.device,
        "kind": profile.method.kind,
        "joules_per_inference": None if joules is None else joules.mean,
        "top1": None if profile.quality is None else profile.quality.top1,
        "off_leaderboards": why_off_leaderboards(profile),
    }


def _free_name(profile: Profile, profiles: dict[str, Profile]) -> str:
    name = file_name(profile)
    there = profiles.get(name)
    if there is None or _same_subject(there, profile):
        return name
    return f"{name.removesuffix('.json')}--{profile.profile_id[:_ID_DIGITS]}.json"


def _same_subject(one: Profile, other: Profile) -> bool:
    return one.subject.weights_sha256 == other.subject.weights_sha256 and one.conditions == other.conditions


def _slug(text: str) -> str:
    return re.sub(r"-{2,}", "-", re.sub(r"[^a-z0-9._-]+", "-", text.lower())).strip("-.") or "unnamed"


publisher = ProfilesPublisher()

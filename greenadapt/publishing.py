"""Publish a finished folder: to ``profiles``, to ``hf-hub:me/name``, or wherever a plugin knows."""

from __future__ import annotations

from pathlib import Path

from greenadapt import plugins, storage
from greenadapt.errors import ProfileError
from greenadapt.publishers.rules import publishable_profile


def publish(folder: str | Path, to: str = "profiles", *, dry_run: bool = False) -> str:
    """Hands a saved model with its profile on.

    Args:
        folder: What `greenadapt.save` wrote, with a profile in it.
        to: A publisher, and after a colon its target: "profiles", "profiles:FOLDER", "hf-hub:me/name".
        dry_run: Check everything, write nothing.

    Returns:
        Where it now is.

    Raises:
        OptionError: There is no such publisher.
        StorageError: There is nothing to publish, or the target cannot be written.
        ProfileError: The profile is not fit to be published.
    """
    name, _, target = to.partition(":")
    publisher = plugins.publisher(name)
    profile = publishable_profile(Path(folder))
    found = storage.weights_sha256(storage.read_tensors(folder))
    measured = profile.subject.weights_sha256 or "unknown"
    if found != measured:
        raise ProfileError(
            f"The profile in {folder} is not that of the model beside it.",
            f"It was measured on weights {measured[:12]}…, here are {found[:12]}….",
            f"Audit this model: greenadapt audit {folder} --out {Path(folder) / storage.PROFILE_FILE}",
        )
    return publisher.publish(Path(folder), target, dry_run)

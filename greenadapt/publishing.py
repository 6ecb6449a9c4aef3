"""Publish a finished folder: to ``profiles``, to ``hf-hub:me/name``, or wherever a plugin knows."""

from __future__ import annotations

from pathlib import Path

from greenadapt import plugins


def publish(folder: str | Path, to: str = "profiles", *, dry_run: bool = False) -> str:
    """Hands a saved model with its profile on.

    Args:
        folder: What `greenadapt.save` wrote, with a profile in it.
        to: A publisher, and after a colon its target: "profiles", "profiles:FOLDER", "hf-hub:me/name".
        dry_run: Check everything, write nothing.

    Returns:
        Where it now is.

    Raises:
        PluginError: There is no such publisher.
        StorageError: There is nothing to publish, or the target cannot be written.
        ProfileError: The profile is not fit to be published.
    """
    name, _, target = to.partition(":")
    return plugins.publisher(name).publish(Path(folder), target, dry_run)

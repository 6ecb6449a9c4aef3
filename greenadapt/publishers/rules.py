"""What is fit to be published: a profile of real readings, every figure of which follows from them."""

from __future__ import annotations

from pathlib import Path

from greenadapt.errors import ProfileError, StorageError
from greenadapt.profile import Profile
from greenadapt.profile_files import read_profile
from greenadapt.recompute import differences
from greenadapt.storage import PROFILE_FILE, is_model_folder

REPLAY = "replay"
"""Name of the meter that plays recordings back."""


def publishable_profile(folder: Path) -> Profile:
    """Reads the profile of a finished folder and makes sure that it may be shown to others.

    Args:
        folder: What `greenadapt.save` wrote, with a profile in it.

    Raises:
        StorageError: There is no such folder, or no profile in it.
        ProfileError: The profile cannot be read, a figure in it does not follow from its readings, or
            they are no measurement or estimate of the machine that it names.
    """
    if not (folder / PROFILE_FILE).is_file():
        raise _no_profile(folder)
    profile = read_profile(folder)
    changed = differences(profile)
    if changed:
        raise ProfileError(
            f"The profile in {folder} does not follow from its own readings.",
            f"{changed[0]}" + (f"; and {len(changed) - 1} more" if len(changed) > 1 else ""),
            f"Audit the model again; to see them all: greenadapt check {folder / PROFILE_FILE}",
        )
    if profile.method.meter == REPLAY or profile.validity.status == "invalid":
        raise ProfileError(
            f"The profile in {folder} is not fit to be published.",
            " ".join(profile.validity.reasons) or "Its readings are replayed from a recording.",
            "Audit the model on a real meter.",
        )
    return profile


def why_off_leaderboards(profile: Profile) -> str | None:
    """None if a profile may stand in a ranking, else why it may not."""
    if profile.subject.weights == "random":
        return "random weights"
    if profile.conditions.data == "random":
        return "random images"
    return None


def _no_profile(folder: Path) -> StorageError:
    if not folder.is_dir():
        return StorageError(
            f"There is nothing to publish at {folder}.",
            "There is no such folder.",
            "Name a folder written by greenadapt.save or greenadapt wrap.",
        )
    model = "a saved model" if is_model_folder(folder) else "no saved model"
    return StorageError(
        f"There is no profile in {folder}.",
        f"It holds {model} and no {PROFILE_FILE}.",
        f"Measure it first: greenadapt audit {folder} --out {folder / PROFILE_FILE}",
    )

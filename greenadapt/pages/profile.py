"""One efficiency profile as one HTML page: self-contained, offline, light and dark, wide and narrow.

title, conditions     what was audited, and on what
figures               what `greenadapt show` prints
decisions             of an adaptive network: blocks, classes, paths, easy and hard images     decisions.py
raw data              the profile itself to download
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from greenadapt.comparison.table import conditions_line
from greenadapt.errors import DataError
from greenadapt.pages import check_installed
from greenadapt.pages.decisions import decisions_content
from greenadapt.pages.drawing import PALETTE
from greenadapt.pages.rendering import download, rendered
from greenadapt.pages.thumbnails import thumbnails
from greenadapt.profile_text import DECISIONS, profile_facts

if TYPE_CHECKING:
    from greenadapt.data import Images
    from greenadapt.profile import Profile


def profile_page(profile: Profile, data: Images | None = None) -> str:
    """Draws one profile.

    Args:
        profile: What to show.
        data: The images that it was audited on, for pictures of the easy and the hard ones. The pictures
            are copied into the page, so hand it on only where the images may be.

    Returns:
        HTML that needs nothing else, neither a network nor a script.

    Raises:
        MissingExtraError: The extra "pages" is not installed.
        DataError: The data are not those of the audit.
    """
    check_installed()
    return rendered("profile.html.jinja", _content(profile, _pictures(profile, data)))


def _pictures(profile: Profile, data: Images | None) -> dict[int, str]:
    run = profile.execution
    if data is None:
        return {}
    audited = profile.quality.fingerprint if profile.quality is not None else None
    if data.fingerprint != audited:
        seen = f"{len(data):,} images of {data.name}, split {data.split!r}"
        wanted = "It was audited on random images."
        if profile.quality is not None:
            wanted = f"It was audited on {profile.quality.images:,} of {profile.quality.dataset}."
        raise DataError(
            f"These are not the images that {profile.subject.name} was audited on.",
            f"{seen}. {wanted}",
            "Give the same data with the same --split and --limit, or leave --data out.",
        )
    shown = [] if run is None else [*run.easiest, *run.hardest]
    return thumbnails(data, [each.index for each in shown])


def _content(profile: Profile, pictures: dict[int, str]) -> dict[str, Any]:
    run = profile.execution
    # What the section on decisions draws need not be told in words above it.
    told = [(name, text) for name, text in profile_facts(profile) if run is None or name not in DECISIONS]
    return {
        "title": profile.subject.name,
        "reference": profile.subject.reference,
        "conditions": conditions_line(profile.conditions).split(", "),
        "warning": _warning(profile),
        "facts": [{"name": name, "text": text.split("\n")} for name, text in told],
        "decisions": None if run is None else decisions_content(run, pictures),
        "palette": PALETTE,
        "file": download(f"{profile.subject.name}.json", "application/json", profile.to_json()),
        "machine": profile.machine,
        "created": profile.created.replace("T", " ").removesuffix("Z").removesuffix("+00:00"),
    }


def _warning(profile: Profile) -> str | None:
    """What stands above everything else if the audit is not valid."""
    status = profile.validity.status
    if status == "valid":
        return None
    return f"This audit is {status}; the reasons are further down."

"""What networks got right on the same images, and who is better: shared by the experiments on accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from greenadapt.comparison.differences import AccuracyDifference, accuracy_difference
from greenadapt.profile.images import Quality
from greenadapt.statistics import pack_hits, wilson

LEVEL = 0.05
"""A p-value below it tells two networks apart."""


def quality(hits: Sequence[bool], dataset: str, fingerprint: str) -> dict[str, Any]:
    """What a file keeps of an evaluation.

    Args:
        hits: Whether each image was classified correctly, in the data's order.
        dataset: Name and split.
        fingerprint: Of the data.
    """
    found = [bool(hit) for hit in hits]
    low, high = wilson(sum(found), len(found))
    return Quality(
        dataset=dataset,
        fingerprint=fingerprint,
        images=len(found),
        hits=pack_hits(found),
        top1=sum(found) / len(found),
        top1_low=low,
        top1_high=high,
    ).model_dump()


def difference(one: dict[str, Any], other: dict[str, Any]) -> AccuracyDifference:
    """Top-1 of one minus that of the other, with McNemar's exact test; recomputed from the hits.

    Args:
        one: As `quality` gives it.
        other: Likewise, of the same images.

    Raises:
        ValueError: They are not of the same images.
    """
    found = accuracy_difference(Quality(**one), Quality(**other))
    if found is None:
        raise ValueError(f"{one['dataset']} and {other['dataset']} are not the same images")
    return found


def better(found: AccuracyDifference) -> bool:
    """Whether the one is better than the other, and not by chance."""
    return found.mean > 0 and found.p_value < LEVEL


def worse(found: AccuracyDifference) -> bool:
    """Whether the one is worse than the other, and not by chance."""
    return found.mean < 0 and found.p_value < LEVEL


def points(found: AccuracyDifference) -> str:
    """The difference in percentage points with its interval, and the p-value."""
    interval = f"{found.low * 100:+.2f} to {found.high * 100:+.2f}"
    digits = 3 if f"{found.p_value:.2g}" == f"{LEVEL:.2g}" else 2  # on which side of the level it lies
    return f"{found.mean * 100:+.2f} ({interval}), p = {found.p_value:.{digits}g}"

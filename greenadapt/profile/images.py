"""What a network got right on the audited images; which blocks it ran is in `decisions`."""

from __future__ import annotations

from pydantic import PositiveInt

from greenadapt.profile.plan import Part


class Quality(Part):
    """What was classified correctly."""

    dataset: str
    fingerprint: str
    images: PositiveInt
    hits: str
    """One bit per image, in order, most significant first, as hexadecimal digits: 1 is correct."""
    top1: float
    top1_low: float
    top1_high: float
    """Wilson interval at 95 %."""

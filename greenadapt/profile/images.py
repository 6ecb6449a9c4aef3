"""What a network did on the audited images: right or wrong, and which blocks it ran."""

from __future__ import annotations

from pydantic import Field, PositiveInt

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


class Execution(Part):
    """What an adaptive model did on the audited images."""

    blocks: int
    blocks_kept_mean: float
    paths: int
    """How many distinct paths the images took."""
    path_shares: dict[str, float] = Field(default_factory=dict)
    """The commonest paths as strings of 0 and 1, one digit a block, with their share of the images."""

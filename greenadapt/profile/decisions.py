"""What an adaptive network decided on the audited images.

    Execution
    ├── record       raw: which blocks each image ran, and its label
    ├── histogram, block_shares, classes         from the record                             ┐ `greenadapt
    ├── commonest    paths with their share and accuracy, from the record and Quality.hits   │ check` computes
    │   └── cost     short trials on images of that path alone: raw readings, and per image  │ them again
    └── easiest, hardest                         from the record                             ┘

Everything but the first four fields is missing in schemas before 1.2.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from greenadapt.profile.plan import Part


class PathTrial(Part):
    """One short stretch of calls on images of one path."""

    seconds: PositiveFloat
    calls: PositiveInt
    inferences: PositiveInt
    joules: float | None
    """By a counter; None without one, or where the stretch was too short to tell."""


class PathCost(Part):
    """What an image costs that takes one path, its batch full of such images, the policy included.

    A short look: a few trials without an interval. Energy is a counter's or None, never an estimate.
    """

    trials: list[PathTrial] = Field(default_factory=list)
    seconds_per_inference: float | None = None
    joules_per_inference: float | None = None
    """Gross: idle power included."""
    kind: Literal["measured"] | None = None
    """Of the joules; None without any."""
    why_not: str | None = None
    """Why there are no joules, or no trials at all."""


class TakenPath(Part):
    """One of the commonest paths."""

    path: str
    """One digit a block, 1 where it is run."""
    images: PositiveInt
    share: float
    correct: NonNegativeInt | None = None
    """How many of them were classified correctly; None without labels."""
    top1: float | None = None
    cost: PathCost | None = None
    """None of a path that was not among the few to be timed."""


class ClassDecisions(Part):
    """What the images of one class took."""

    label: NonNegativeInt
    name: str | None = None
    images: PositiveInt
    blocks_kept_mean: float
    top1: float


class SeenImage(Part):
    """One image among the easiest or the hardest."""

    index: NonNegativeInt
    """Its number in the data, counted from 0."""
    blocks_kept: NonNegativeInt
    label: NonNegativeInt | None = None
    correct: bool | None = None


class DecisionRecord(Part):
    """The raw decisions, from which everything else is computed.

    Texts are base64 of a zlib stream, which keeps 50,000 images of 16 blocks to some 100 kB.
    """

    paths: str
    """One bit a block and image, image after image, most significant bit first, filled up with zeros."""
    labels: str | None = None
    """Class of each image as unsigned 32-bit integers, little-endian; None without labels."""


class Execution(Part):
    """What an adaptive model did on the audited images."""

    blocks: int
    blocks_kept_mean: float
    paths: int
    """How many distinct paths the images took."""
    path_shares: dict[str, float] = Field(default_factory=dict)
    """The commonest paths as strings of 0 and 1, one digit a block, with their share of the images."""
    images: PositiveInt | None = None
    """How many images decided; None in schemas before 1.2."""
    block_names: list[str] = Field(default_factory=list)
    """What the model calls its blocks, in order; empty where it does not tell."""
    block_shares: list[float] = Field(default_factory=list)
    """Share of the images that ran each block."""
    histogram: list[NonNegativeInt] = Field(default_factory=list)
    """How many images ran 0, 1, ... all blocks."""
    classes_seen: NonNegativeInt = 0
    """How many classes the labels have; 0 without labels."""
    classes: list[ClassDecisions] = Field(default_factory=list)
    """By label; of more than a thousand classes only the five hundred at either end of the mean."""
    commonest: list[TakenPath] = Field(default_factory=list)
    """The paths of `path_shares`, the commonest first."""
    easiest: list[SeenImage] = Field(default_factory=list)
    """Images with the fewest blocks; empty where all images run as many."""
    hardest: list[SeenImage] = Field(default_factory=list)
    """Images with the most blocks, these first; likewise."""
    record: DecisionRecord | None = None
    """None in schemas before 1.2, and where it would be too large for a profile."""

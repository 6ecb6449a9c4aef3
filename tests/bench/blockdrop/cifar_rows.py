"""The networks of the CIFAR-10 experiment as its file has them: names, the rival, differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from greenadapt.comparison.differences import AccuracyDifference
from greenadapt.statistics import unpack_hits
from tests.bench.paired import difference, quality

Network = Mapping[str, Any]
"""One row of the file, as `tests.bench.blockdrop.cifar.evaluate` writes it."""
RIVAL = 32
"""Depth of the plain ResNet whose FLOPs no arm may exceed."""
BEGUN, JOINT, BEST_PATH = "begun", "blockdrop", "sensitivity"
LONGER, ALIKE = "sensitivity-longer", "plain"
ARMS = {
    BEGUN: "BlockDrop (learned policy, after the fixed path)",
    JOINT: "BlockDrop (learned policy)",
    "spread": "fixed path (spread-k)",
    "random": "fixed path (random-k)",
    "first": "fixed path (first-k)",
    BEST_PATH: "fixed path (from sensitivity)",
    LONGER: "fixed path (from sensitivity, longer)",
    ALIKE: "ResNet-32, trained alike",
}
LEARNED = (BEGUN, JOINT)
"""The arms with a learned policy, the latest attempt first."""
CONTINUED = (BEGUN, LONGER)
"""The arms that begin with the weights of `BEST_PATH`."""
ONE_PATH = "one path"
"""The learned arm without its policy: every image on the path that it takes most often."""
TITLES = {**ARMS, ONE_PATH: "its commonest path for every image (no policy)"}
_TRAINED_ON, _TESTED_ON = 50_000, 10_000
SEEN = 2_000
"""So many test images, the first, told short pilots of recipes apart; the others chose nothing."""


def named(rows: Sequence[Network]) -> dict[str, Network]:
    """The rows by name."""
    return {row["name"]: row for row in rows}


def rival_of(rows: Sequence[Network]) -> Network:
    """The plain network that sets the cost."""
    return named(rows)[f"ResNet-{RIVAL}"]


def plain_of(rows: Sequence[Network]) -> list[Network]:
    """The plain networks with their published weights."""
    return [row for row in rows if row["name"].startswith("ResNet-")]


def fixed_of(rows: Sequence[Network]) -> list[Network]:
    """The arms with a fixed path."""
    return [row for row in rows if row["name"] in ARMS and row["name"] not in (*LEARNED, ALIKE)]


def learned_of(rows: Sequence[Network]) -> Network | None:
    """The latest attempt at a learned policy: the first of `LEARNED` that has been trained."""
    return next((named(rows)[name] for name in LEARNED if name in named(rows)), None)


def title(row: Network) -> str:
    """How the page calls a network."""
    return TITLES.get(row["name"], row["name"])


def is_whole(row: Network) -> bool:
    """Whether an arm was trained and tested on all images; else its figures meet no bar."""
    return bool(row["images"] == _TESTED_ON and row["recipe"]["images"] == _TRAINED_ON)


def quality_of(row: Network) -> dict[str, Any]:
    """What a network got right, as `tests.bench.paired.difference` takes it."""
    return quality(unpack_hits(row["hits"], row["images"]), "cifar10 (test)", row["fingerprint"])


def minus_unseen(one: Network, other: Network) -> AccuracyDifference | None:
    """As `minus`, on the images that chose nothing; None if there are none."""
    halves = []
    for row in (one, other):
        hits = unpack_hits(row["hits"], row["images"])[SEEN:]
        if not hits:
            return None
        halves.append(quality(hits, "cifar10 (test, unseen)", row["fingerprint"]))
    return difference(*halves)


def minus(one: Network, other: Network) -> AccuracyDifference:
    """Top-1 of one less that of the other.

    Args:
        one: A row.
        other: Another, of the same images.

    Raises:
        ValueError: They are not of the same images.
    """
    return difference(quality_of(one), quality_of(other))

"""What an adaptive network decided: the packed record, and everything that follows from it.

table [N, K], labels [N] ── pack_table, pack_labels ──> DecisionRecord
        │                └─ unpack_table, unpack_labels ── `greenadapt check`
        └── hits [N] ──> execution_of ──> Execution
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from greenadapt.errors import ProfileError
from greenadapt.profile import (
    ClassDecisions,
    DecisionRecord,
    Execution,
    PathCost,
    PathTrial,
    SeenImage,
    TakenPath,
)

if TYPE_CHECKING:
    import numpy as np

    Bools = np.ndarray[Any, np.dtype[np.bool_]]
    Whole = np.ndarray[Any, np.dtype[np.int64]]

COMMONEST = 32
"""How many paths a profile lists."""
SHOWN_IMAGES = 16
"""How many of the easiest and of the hardest images it lists, at most."""
MOST_CLASSES = 1000
MOST_RECORDED = 1 << 19
"""Characters of the packed paths: 50,000 images of 60 blocks fit, however they decide."""


def execution_of(
    table: Bools,
    labels: Whole | None = None,
    hits: Bools | None = None,
    *,
    block_names: Sequence[str] = (),
    class_names: Mapping[int, str] | None = None,
    costs: Mapping[str, PathCost] | None = None,
) -> Execution:
    """Everything that a profile says of decisions.

    Args:
        table: bool [N, K]: which blocks each image ran; N >= 1.
        labels: Class of each image [N].
        hits: bool [N]: whether it was classified correctly.
        block_names: K names, or none.
        class_names: By label, as far as they are known.
        costs: By path, what was measured of it.
    """
    images, blocks = table.shape
    kept = table.sum(1)
    ranked = _ranked(table)
    commonest = _commonest(table, ranked[:COMMONEST], hits, costs or {})
    classes = _classes(kept, labels, hits, class_names or {})
    easiest, hardest = _extremes(kept, labels, hits)
    return Execution(
        blocks=blocks,
        blocks_kept_mean=int(kept.sum()) / images,
        paths=len(ranked),
        path_shares={each.path: each.share for each in commonest},
        images=images,
        block_names=list(block_names),
        block_shares=[int(ran) / images for ran in table.sum(0)],
        histogram=[int((kept == count).sum()) for count in range(blocks + 1)],
        classes_seen=len(classes),
        classes=_bounded(classes),
        commonest=commonest,
        easiest=easiest,
        hardest=hardest,
        record=_record(table, labels),
    )


def path_cost(trials: Sequence[PathTrial], why_not: str | None = None) -> PathCost:
    """What an image costs, from the trials of its path.

    Args:
        trials: None at all leaves everything unknown.
        why_not: Why there are no joules, or no trials.
    """
    images = sum(trial.inferences for trial in trials)
    joules = [trial.joules for trial in trials if trial.joules is not None]
    known = bool(trials) and len(joules) == len(trials)
    return PathCost(
        trials=list(trials),
        seconds_per_inference=sum(trial.seconds for trial in trials) / images if trials else None,
        joules_per_inference=sum(joules) / images if known else None,
        kind="measured" if known else None,
        why_not=None if known else why_not,
    )


def path_text(row: Any) -> str:
    """One row of the table as a string of 0 and 1."""
    return "".join("1" if ran else "0" for ran in row)


def pack_table(table: Bools) -> str:
    """The table [N, K] as text; see `DecisionRecord`."""
    import numpy as np

    return _packed(np.packbits(table.reshape(-1)).tobytes())


def unpack_table(text: str, images: int, blocks: int) -> Bools:
    """The inverse of `pack_table`.

    Raises:
        ProfileError: The text is not of so many images and blocks.
    """
    import numpy as np

    bits = np.frombuffer(_unpacked(text, -(-images * blocks // 8)), np.uint8)
    table: Bools = np.unpackbits(bits)[: images * blocks].reshape(images, blocks).astype(bool)
    return table


def most_recorded(images: int, blocks: int) -> int:
    """How many characters the packed table takes at most, however the images decide."""
    size = -(-images * blocks // 8)
    # What zlib stores uncompressed it puts into blocks with heads of five bytes.
    return -(-(size + size // 1000 + 64) // 3) * 4


def pack_labels(labels: Whole) -> str:
    """Labels [N] as text; see `DecisionRecord`."""
    return _packed(labels.astype("<u4").tobytes())


def unpack_labels(text: str, images: int) -> Whole:
    """The inverse of `pack_labels`.

    Raises:
        ProfileError: The text is not of so many images.
    """
    import numpy as np

    labels: Whole = np.frombuffer(_unpacked(text, 4 * images), "<u4").astype(np.int64)
    return labels


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpacked(text: str, size: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        # A byte more than there may be, so that a stream of gigabytes is refused without being unpacked.
        data = stream.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, ValueError, zlib.error) as error:
        raise _unreadable(f"{len(text)} characters that are no base64 of a zlib stream") from error
    if len(data) != size or not stream.eof:
        held = f"more than {size}" if len(data) > size else f"{len(data)}"
        raise _unreadable(f"{held} bytes where {size} are needed")
    return data


def _unreadable(seen: str) -> ProfileError:
    return ProfileError(
        "The record of decisions cannot be read.",
        f"It holds {seen}.",
        "Audit the model again; the profile was cut or changed by hand.",
    )


def _record(table: Bools, labels: Whole | None) -> DecisionRecord | None:
    paths = pack_table(table)
    if len(paths) > MOST_RECORDED:
        return None
    return DecisionRecord(paths=paths, labels=None if labels is None else pack_labels(labels))


def _ranked(table: Bools) -> list[Bools]:
    """The distinct paths, the commonest first; among equally common ones, by their digits."""
    import numpy as np

    rows, counts = np.unique(table, axis=0, return_counts=True)
    return [rows[number] for number in np.argsort(-counts, kind="stable")]


def _commonest(
    table: Bools, paths: Sequence[Bools], hits: Bools | None, costs: Mapping[str, PathCost]
) -> list[TakenPath]:
    found = []
    for path in paths:
        mask = (table == path).all(1)
        images, name = int(mask.sum()), path_text(path)
        correct = None if hits is None else int(hits[mask].sum())
        found.append(
            TakenPath(
                path=name,
                images=images,
                share=images / len(table),
                correct=correct,
                top1=None if correct is None else correct / images,
                cost=costs.get(name),
            )
        )
    return found


def _classes(
    kept: Whole, labels: Whole | None, hits: Bools | None, names: Mapping[int, str]
) -> list[ClassDecisions]:
    import numpy as np

    if labels is None or hits is None:
        return []
    found, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    blocks = np.bincount(inverse, weights=kept)
    right = np.bincount(inverse, weights=hits)
    return [
        ClassDecisions(
            label=int(label),
            name=names.get(int(label)),
            images=int(images),
            blocks_kept_mean=float(blocks[number]) / int(images),
            top1=float(right[number]) / int(images),
        )
        for number, (label, images) in enumerate(zip(found, counts, strict=True))
    ]


def _bounded(classes: list[ClassDecisions]) -> list[ClassDecisions]:
    if len(classes) <= MOST_CLASSES:
        return classes
    ordered = sorted(classes, key=lambda each: (each.blocks_kept_mean, each.label))
    ends = [*ordered[: MOST_CLASSES // 2], *ordered[-(MOST_CLASSES // 2) :]]
    return sorted(ends, key=lambda each: each.label)


def _extremes(
    kept: Whole, labels: Whole | None, hits: Bools | None
) -> tuple[list[SeenImage], list[SeenImage]]:
    """The easiest and the hardest images, no image among both; none where all are alike or unlabelled."""
    if labels is None or hits is None or kept.min() == kept.max():
        return [], []
    count = min(SHOWN_IMAGES, len(kept) // 2)

    def seen(order: list[int]) -> list[SeenImage]:
        return [
            SeenImage(
                index=index,
                blocks_kept=int(kept[index]),
                label=int(labels[index]),
                correct=bool(hits[index]),
            )
            for index in order
        ]

    easiest = _first(kept, count)
    hardest = [index for index in _first(-kept, count) if index not in easiest]
    return seen(easiest), seen(hardest)


def _first(values: Whole, count: int) -> list[int]:
    """Numbers of the smallest values; of those that tie for the last places, some spread over the data.

    Data often lie class by class, so the first ones that tie would be of one class.
    """
    import numpy as np

    border = np.sort(values)[count - 1]
    below = np.flatnonzero(values < border)
    below = below[np.argsort(values[below], kind="stable")]
    tied, places = np.flatnonzero(values == border), count - len(below)
    spread = [int(tied[(2 * place + 1) * len(tied) // (2 * places)]) for place in range(places)]
    return [*map(int, below), *spread]

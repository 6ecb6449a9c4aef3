"""One pass over all images: what each network gets right, what it computes, which blocks it runs.

Each network runs once per precision, uncompiled: rounding changes decisions, while batch size, memory
format and compilation order the same arithmetic another way. All of them see each batch before the next is
loaded, so that their hits belong to the same images in the same order. Multiply-accumulates are counted on
what is executed (`greenadapt.counting`), so that a skipped block counts nothing and a policy counts; those of
an engine that is only called are unknown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from greenadapt.auditing.decisions import Decisions, block_names
from greenadapt.auditing.loading import Loaded, Network
from greenadapt.auditing.trials import Progress
from greenadapt.auditing.workload import Workload
from greenadapt.counting import counting
from greenadapt.errors import DataError
from greenadapt.profile import Execution, PathCost, Quality
from greenadapt.statistics import pack_hits, wilson
from greenadapt.storage import tensor_bytes

Key = tuple[str, str]
"""A network's name and a precision."""


@dataclass
class Tally:
    """What one network did on the images so far."""

    hits: list[bool] = field(default_factory=list)
    images: int = 0
    macs: int = 0
    labels: list[int] = field(default_factory=list)
    decisions: Decisions = field(default_factory=Decisions)

    @property
    def macs_per_image(self) -> float | None:
        """Multiply-accumulates per image, as executed; None if nothing could be counted."""
        return self.macs / self.images if self.macs and self.images else None

    def execution(
        self,
        network: Network | None = None,
        class_names: Mapping[int, str] | None = None,
        costs: Mapping[str, PathCost] | None = None,
    ) -> Execution | None:
        """Which blocks the images took; None for a network that always runs the same.

        Args:
            network: The network, for the names of its blocks.
            class_names: What the classes are called, by label.
            costs: What the paths cost that were timed.
        """
        return self.decisions.execution(
            self.labels,
            self.hits,
            block_names=block_names(network, self.decisions.blocks),
            class_names=class_names,
            costs=costs,
        )

    def quality(self, dataset: str, fingerprint: str) -> Quality:
        """Top-1 accuracy with its interval, and the map of hits."""
        low, high = wilson(sum(self.hits), len(self.hits))
        return Quality(
            dataset=dataset,
            fingerprint=fingerprint,
            images=len(self.hits),
            hits=pack_hits(self.hits),
            top1=sum(self.hits) / len(self.hits),
            top1_low=low,
            top1_high=high,
        )


def accuracy_pass(
    loaded: Mapping[Key, Loaded], workload: Workload, size: int, progress: Progress
) -> tuple[dict[Key, Tally], str]:
    """Runs every network over all images once.

    Args:
        loaded: One rival per network and precision.
        workload: The images; random ones are run through for the counts alone, without labels.
        size: Images per batch.
        progress: Told of every batch.

    Returns:
        A tally per network and precision, and a digest of images and labels.

    Raises:
        DataError: A label that a network has no class for.
    """
    tallies = {key: Tally() for key in loaded}
    digest = hashlib.sha256()
    if workload.data is None:
        for key, each in loaded.items():
            _take(each.network, each.pool[0], tallies[key])
        return tallies, digest.hexdigest()
    for images, labels in workload.batches(size):
        done = next(iter(tallies.values())).images
        progress(f"accuracy on {workload.name}", done / len(workload) if len(workload) else 0.0)
        digest.update(tensor_bytes(images))
        digest.update(tensor_bytes(labels))
        for key, each in loaded.items():
            placed = workload.placed(images, each.rival.plan)
            predictions = _take(each.network, placed, tallies[key], size)
            _check_labels(labels, predictions.shape[1], each.rival.network)
            tallies[key].hits += (predictions.argmax(1).cpu() == labels).tolist()
            tallies[key].labels += labels.tolist()
    return tallies, digest.hexdigest()


def _take(network: Network, images: Tensor, tally: Tally, size: int = 0) -> Tensor:
    tally.images += len(images)
    with torch.inference_mode():
        if not isinstance(network, nn.Module):
            return _filled_up(network, images, size)
        with counting(network) as counter:
            outputs: Tensor = network(images)
        paths_of = getattr(network, "greenadapt_paths", None)
        if paths_of is not None:
            tally.decisions.take(paths_of(images))
    tally.macs += counter.macs
    return outputs.float()


def _filled_up(engine: Network, images: Tensor, size: int) -> Tensor:
    """An engine may be built for one batch size alone, so its last batch is filled up with copies."""
    missing = max(0, size - len(images))
    whole = torch.cat([images, images[-1:].expand(missing, *images.shape[1:])]) if missing else images
    outputs: Tensor = engine(whole)
    return outputs[: len(images)].float()


def _check_labels(labels: Tensor, classes: int, name: str) -> None:
    if labels.numel() and (int(labels.max()) >= classes or int(labels.min()) < 0):
        raise DataError(
            f"The labels do not fit {name}.",
            f"They go from {int(labels.min())} to {int(labels.max())}; the network has {classes} classes.",
            "Use the data that the network was trained for.",
        )

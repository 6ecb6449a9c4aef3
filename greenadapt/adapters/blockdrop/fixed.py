"""Fixed policies: the same blocks for every image, chosen by rule, or found from what each block is worth.

    first, spread, random   by rule, before any image is seen
    sensitivity             K blocks ── leave out the one whose loss moves the logits least ──> K - 1 ──> ...
                            measured again after each, until `keep` of them are left

They are BlockDrop's honest rivals: no policy network, a static graph, and the same fine-tuning budget. The
search needs no labels and no training; what it finds is where a fine-tuning, or a learned policy, starts.

Source: the FirstK, DistributeK and RandomK rivals of BlockDrop's Table 1; the search is not in the paper.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenadapt.adapters.execution import OnePath
from greenadapt.adapters.modes import asked
from greenadapt.adapters.norms import batch_norms, on_batch_statistics
from greenadapt.adapters.options import check_share
from greenadapt.errors import DataError, ModelError

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

Path = tuple[bool, ...]
RULES = ("first", "spread", "random")
_BATCH = 128


@dataclass(frozen=True)
class BestPath:
    """What the search found.

    Attributes:
        path: Blocks kept, of length K.
        dropped: Blocks left out, in the order in which they went.
        divergence: Mean Kullback-Leibler divergence, in nats, of the logits from those of the whole network,
            after each of them went.
    """

    path: Path
    dropped: tuple[int, ...]
    divergence: tuple[float, ...]


def count_kept(blocks: int, keep: float) -> int:
    """How many of K blocks a share to keep is, at least one."""
    return max(1, round(keep * blocks))


def fixed_path(policy: str, blocks: int, keep: float, seed: int = 0) -> Path:
    """The blocks that a fixed policy keeps before any image is seen; at least one.

    Args:
        policy: "first": the first ones. "spread": evenly spaced. "random": drawn once from the seed.
            "sensitivity": all, until they have been measured.
        blocks: K.
        keep: Share to keep.
        seed: Of the draw.
    """
    count = count_kept(blocks, keep)
    if policy == "sensitivity":
        kept = set(range(blocks))
    elif policy == "first":
        kept = set(range(count))
    elif policy == "spread":
        kept = {int((i + 0.5) * blocks / count) for i in range(count)}
    else:
        generator = torch.Generator().manual_seed(seed)
        kept = set(torch.randperm(blocks, generator=generator)[:count].tolist())
    return tuple(index in kept for index in range(blocks))


def find_best_path(
    model: nn.Module, images: Tensor | Iterable[Any], keep: float, *, adapted: bool = False
) -> BestPath:
    """Finds the best fixed path of a share of the blocks and, under a fixed policy, sets it; trains nothing.

    Args:
        model: A model under BlockDrop. Its mode is left as it is; a learned policy is left as it is too.
        images: [N, C, H, W], or batches of such or of (images, labels), normalised as in training. A few
            hundred do: the divergence of logits is much less noisy than accuracy.
        keep: Share of the blocks.
        adapted: Judge each path by what batch norms make of it once they have its statistics, as after a
            fine-tuning; they are taken from the batches, and the norms' own stay; a batch of one image has
            none, and is passed over. Leave it out for a path that is used without training.

    Raises:
        ModelError: The model is not under BlockDrop, or its logits are no numbers.
        OptionError: `keep` is out of range.
        DataError: There are no images, or with `adapted` no two in one batch.
    """
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

    keep = check_share("keep", keep)
    if not isinstance(model, BlockDrop):
        raise ModelError(
            "There are no blocks to choose from.",
            f"{type(model).__name__} is not under BlockDrop.",
            "Wrap it first: greenadapt.wrap(model, 'blockdrop', policy='sensitivity').",
        )
    blocks = model.greenadapt_blocks
    with _measuring(model) as device:
        batches = [batch for batch in _batches(images, device) if len(batch) > adapted]
        if not batches:
            found = "No batch has two." if adapted else "There are none."
            raise DataError("No path can be found without images.", found, "Give a few hundred.")
        whole = [F.log_softmax(_logits(model, batch, (True,) * blocks), 1) for batch in batches]
        with on_batch_statistics(batch_norms(model) if adapted else []):
            best = _search(model, batches, whole, count_kept(blocks, keep))
    if model.greenadapt_policy is None:
        model.set_path(best.path)
    return best


def _search(model: BlockDrop, batches: Sequence[Tensor], whole: Sequence[Tensor], count: int) -> BestPath:
    blocks = model.greenadapt_blocks
    if not all(reference.isfinite().all() for reference in whole):
        raise ModelError(
            "No path can be found for this network.",
            "With all blocks kept its logits are no numbers.",
            "Look at its weights and at how the images are normalised.",
        )
    kept, dropped, divergences = set(range(blocks)), [], []
    now, worth = 0.0, dict.fromkeys(kept, -math.inf)
    while len(kept) > count:
        cheapest = _cheapest(worth, now, lambda block: _divergence(model, batches, whole, kept - {block}))
        now += worth.pop(cheapest)
        kept.remove(cheapest)
        dropped.append(cheapest)
        divergences.append(now)
    return BestPath(tuple(b in kept for b in range(blocks)), tuple(dropped), tuple(divergences))


def _cheapest(worth: dict[int, float], now: float, measure: Callable[[int], float]) -> int:
    """The block that costs least to leave out, on top of `now`; `worth` gains what was measured.

    What a block is worth grows as others go, so what it was worth before is a lower bound: blocks are
    measured again in that order, until one costs less than the next was worth.
    """
    fresh: set[int] = set()
    while True:
        block = min(worth, key=lambda b: (worth[b], b))
        if block in fresh:
            return block
        cost = measure(block) - now
        # A path that gives no number at all is the worst.
        worth[block] = cost if math.isfinite(cost) else sys.float_info.max
        fresh.add(block)


def _divergence(
    model: BlockDrop, batches: Sequence[Tensor], whole: Sequence[Tensor], kept: set[int]
) -> float:
    path = tuple(block in kept for block in range(model.greenadapt_blocks))
    total, images = 0.0, 0
    for batch, reference in zip(batches, whole, strict=True):
        ours = F.log_softmax(_logits(model, batch, path), 1)
        total += F.kl_div(ours, reference, reduction="sum", log_target=True).item()
        images += len(batch)
    return total / images


def _logits(model: BlockDrop, images: Tensor, path: Path) -> Tensor:
    return model.forward_in(images, OnePath(path)).float()


def _batches(images: Tensor | Iterable[Any], device: torch.device) -> Iterator[Tensor]:
    parts: Iterable[Any] = images.split(_BATCH) if isinstance(images, Tensor) else images
    for part in parts:
        batch = part[0] if isinstance(part, (list, tuple)) else part
        if len(batch):
            last = {"memory_format": torch.channels_last} if batch.ndim == 4 else {}
            yield batch.to(device, **last)


@contextmanager
def _measuring(model: Any) -> Iterator[torch.device]:
    with asked(model):
        yield next(model.parameters()).device

"""Limits a policy to a few distinct paths, so that each is a static network worth compiling or exporting.

    the policy's paths on the training images        M allowed paths, cheapest first
    1011 1010 1000 ...  (hundreds)          ──►      1000  1011  ...  1111
                                                     a sample takes the first that contains its own

A sample may run more blocks than its policy asked for, never fewer. The whole network is always allowed:
an image unlike those of the training has somewhere to go. Its logits are those of a longer path than the
policy chose, so a limited model is fine-tuned once more, or reported as it is.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.errors import ModelError, OptionError

_SEEDS = 128
"""Merging is quadratic in the paths it starts from: the most frequent ones are taken."""
_ROUNDS = 10


def as_path(path: Any, blocks: int) -> tuple[bool, ...]:
    """A path as it was given, checked: what is no yes or no (a probability, an index) is nobody's decision.

    Args:
        path: Which blocks are kept, [K]: True and False, or 1 and 0.
        blocks: K.

    Raises:
        OptionError: It is of another length or shape, or holds something else.
    """
    try:
        values = torch.as_tensor(path)
        fits = tuple(values.shape) == (blocks,) and bool(((values == 0) | (values == 1)).all())
    except (TypeError, ValueError, RuntimeError):
        fits = False
    if not fits:
        raise OptionError(
            "The path does not fit the model.",
            f"It is {reprlib.repr(path)}; the model has {blocks} blocks that can be dropped.",
            "Give one boolean for each block that greenadapt.describe(model) lists as droppable.",
        )
    return tuple(bool(value) for value in values.tolist())


def limit_paths(table: Tensor, most: int, costs: Sequence[float] | None = None) -> Tensor:
    """The allowed paths under which the samples of a table are cheapest, found greedily.

    Two ways are tried, and the cheaper taken: merging the closest two paths until few are left, and adding
    the path that saves most, one by one, out of all that merging came by. Then each shrinks to the union
    of what it serves.

    Args:
        table: bool, [B, K]: the path of each sample.
        most: Paths allowed, the whole network among them; at least 1.
        costs: Of each block, in any unit, all positive; None: all alike.

    Returns:
        bool, [M, K] with M <= most, on the CPU, the cheapest path first; the last keeps all.

    Raises:
        OptionError: `most` is below 1, or there is not one positive cost for each block.
    """
    _check(table, most, costs)
    table = table.cpu().bool()
    blocks = table.shape[1]
    weights = torch.ones(blocks).double() if costs is None else torch.tensor(costs, dtype=torch.float64)
    whole = torch.ones(1, blocks, dtype=torch.bool)
    if len(table) == 0:
        return whole
    distinct, counts = torch.unique(table, dim=0, return_counts=True)
    if len(distinct) + int(not distinct.all(1).any()) <= most:
        return _ordered(torch.cat([distinct, whole]), weights)
    candidates, level = _merged(distinct, counts, weights, most - 1)
    chosen = (
        _settled(distinct, torch.cat([level, whole]), weights),
        _settled(distinct, _greedy(distinct, counts.double(), candidates, weights, most), weights),
    )
    return min(chosen, key=lambda paths: _price(distinct, counts.double(), paths, weights))


def assign(table: Tensor, paths: Tensor) -> Tensor:
    """The first path that contains each sample's own: int64, [B]; nothing waits for the device.

    Args:
        table: bool, [B, K].
        paths: bool, [M, K], the cheapest first and the last the whole network, as from `limit_paths`.
    """
    return _contains(table, paths).long().argmax(1)


def no_limit(most: int, blocks: int) -> Tensor:
    """What stands for "not limited yet": bool, [most, blocks], all True."""
    return torch.ones(most, blocks, dtype=torch.bool)


def restrict(table: Tensor, allowed: Tensor) -> Tensor:
    """The allowed path of each sample: bool, [B, K]; unchanged while nothing was limited.

    Args:
        table: bool, [B, K]: what the policy asks for.
        allowed: bool, [M, K], on the table's device. All True (`no_limit`) means not limited yet.
    """
    if len(allowed) == 0:
        return table
    limited = allowed.index_select(0, assign(table, allowed))
    return torch.where(allowed.all(), table, limited)


@torch.no_grad()
def limit(model: nn.Module, loader: Any, costs: Sequence[float] | None = None) -> list[float]:
    """Limits a model's policy to the paths its option `paths` allows, from the paths of some images.

    Args:
        model: A model under BlockDrop with a learned policy and ``paths`` > 0; its policy is asked in
            eval mode, and its buffer ``greenadapt_allowed`` is filled in place.
        loader: Batches of images [B, C, H, W], or of (images, labels).
        costs: Of each block, for instance its seconds; None: all alike.

    Returns:
        The share of the images on each allowed path, the cheapest first.

    Raises:
        ModelError: The model has no policy that could be limited.
    """
    target: Any = model
    allowed = getattr(model, "greenadapt_allowed", None)
    if allowed is None or getattr(model, "greenadapt_policy", None) is None:
        raise ModelError(
            "This model's paths cannot be limited.",
            f"{type(model).__name__}: no learned policy, or the option paths=0.",
            "Wrap with 'blockdrop', policy='learned' and paths=8.",
        )
    table = ~(asked(target.greenadapt_policy, loader, allowed.device) < 0.5)
    found = limit_paths(table, len(allowed), costs)
    if len(found) == 1:
        # The whole network alone stands for "not limited yet"; the nearest path beside it costs nothing.
        nearest = found.clone()
        nearest[0, 0] = False
        found = torch.cat([nearest, found])
    padding = no_limit(len(allowed) - len(found), table.shape[1])
    allowed.copy_(torch.cat([found, padding]))
    shares = torch.bincount(assign(table, found), minlength=len(found)) / max(1, len(table))
    return [float(share) for share in shares]


def asked(policy: nn.Module, loader: Any, device: torch.device) -> Tensor:
    """What a policy says of each image: probabilities of keeping, [N, K], on the CPU.

    Args:
        policy: Asked in eval mode, and left in its own.
        loader: Batches of images [B, C, H, W], or of (images, labels).
        device: Of the policy.

    Raises:
        OptionError: There are no images.
    """
    training = policy.training
    policy.eval()
    try:
        with torch.no_grad():
            parts = [
                policy((batch[0] if isinstance(batch, list | tuple) else batch).to(device)).cpu()
                for batch in loader
            ]
    finally:
        policy.train(training)
    if not parts:
        raise OptionError(
            "A policy cannot be asked without images.",
            "The loader gave none.",
            "Pass the training images.",
        )
    return torch.cat(parts)


def _contains(table: Tensor, paths: Tensor) -> Tensor:
    # A path contains another if nothing is kept that it drops; counted by a product, exact in fp32.
    contained: Tensor = table.float() @ (~paths).float().t() == 0
    return contained


def _merged(distinct: Tensor, counts: Tensor, weights: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """All paths that merging the closest two, again and again, comes by; and those of one level."""
    often = counts.argsort(descending=True, stable=True)[:_SEEDS]
    paths, share = distinct[often], counts[often].double()
    made, level = [paths], paths[:wanted]
    while len(paths) > 1:
        if len(paths) == wanted:
            level = paths
        union = paths[:, None, :] | paths[None, :, :]
        # What merging costs: the samples of either path then run the union.
        extra = ((union & ~paths[:, None, :]).double() @ weights) * share[:, None]
        extra = extra + extra.t()
        extra.fill_diagonal_(torch.inf)
        first, second = divmod(int(extra.argmin()), len(paths))
        joined = union[first, second][None]
        rest = torch.ones(len(paths), dtype=torch.bool)
        rest[[first, second]] = False
        share = torch.cat([share[rest], (share[first] + share[second])[None]])
        paths = torch.cat([paths[rest], joined])
        made.append(joined)
    return torch.unique(torch.cat(made), dim=0), paths if wanted == 1 else level


def _greedy(distinct: Tensor, counts: Tensor, candidates: Tensor, weights: Tensor, most: int) -> Tensor:
    whole = torch.ones(1, distinct.shape[1], dtype=torch.bool)
    price = candidates.double() @ weights
    served = torch.where(_contains(distinct, candidates), price, torch.inf)
    now = (whole.double() @ weights).expand(len(distinct))
    chosen = [whole]
    for _ in range(most - 1):
        saved = (counts[:, None] * (now[:, None] - served).clamp_min(0)).sum(0)
        best = int(saved.argmax())
        if saved[best] <= 0:
            break
        now = torch.minimum(now, served[:, best])
        chosen.append(candidates[best][None])
    return _ordered(torch.cat(chosen), weights)


def _settled(distinct: Tensor, paths: Tensor, weights: Tensor) -> Tensor:
    chosen = _ordered(paths, weights)
    for _ in range(_ROUNDS):
        shrunk = _shrunk(distinct, chosen, weights)
        if torch.equal(shrunk, chosen):
            break
        chosen = shrunk
    return chosen


def _price(distinct: Tensor, counts: Tensor, paths: Tensor, weights: Tensor) -> float:
    return float((paths[assign(distinct, paths)].double() @ weights * counts).sum())


def _shrunk(distinct: Tensor, paths: Tensor, weights: Tensor) -> Tensor:
    serving = assign(distinct, paths)
    # The whole network stays as it is: it is for images unlike these.
    numbers = [number for number in serving.unique().tolist() if number < len(paths) - 1]
    unions = [distinct[serving == number].any(0) for number in numbers]
    return _ordered(torch.stack([*unions, paths[-1]]), weights)


def _ordered(paths: Tensor, weights: Tensor) -> Tensor:
    unique = torch.unique(paths, dim=0)
    # Positive costs make the whole network the dearest, so it comes last.
    ordered: Tensor = unique[(unique.double() @ weights).argsort(stable=True)]
    return ordered


def _check(table: Tensor, most: int, costs: Sequence[float] | None) -> None:
    if most < 1:
        raise OptionError("At least one path must be allowed.", f"most={most}", "Use 2 or more.")
    if costs is not None and (len(costs) != table.shape[1] or not all(0 < cost < math.inf for cost in costs)):
        raise OptionError(
            "The costs of the blocks do not fit.",
            f"{len(costs)} costs, the least {min(costs, default=None)}, for {table.shape[1]} blocks.",
            "Give one positive cost for each block.",
        )

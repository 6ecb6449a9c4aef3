"""From a policy's table to the output of the whole batch.

table [B, K] ── to the host, once ──┬─ one path ──────────────────────────── OnePath, whole batch
                                    ├─ grouped ─── a forward pass per path ── rows put back in order
                                    └─ gathered ── one forward pass over the samples, likest together
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from greenadapt.adapters.execution.costs import CostModel
from greenadapt.adapters.execution.placing import by_likeness, empty, put, sent, take
from greenadapt.adapters.execution.runs import Gathered, Masked, OnePath
from greenadapt.adapters.gates import under

Mode = Literal["auto", "grouped", "gathered", "masked"]
MODES: tuple[Mode, ...] = ("auto", "grouped", "gathered", "masked")
_SMALLEST_GROUP_WORTHWHILE = {"cpu": 1.0}
"""Mean size of a group below which gathering is taken while nothing is measured; elsewhere 4."""

Call = Callable[[Tensor], Any]


def execute(
    call: Call,
    images: Tensor,
    table: Tensor,
    mode: Mode = "auto",
    costs: CostModel | Callable[[], CostModel | None] | None = None,
    sliceable: bool = True,
) -> Any:
    """Runs a network of gated blocks under a policy.

    Args:
        call: A forward of the network: images [B, C, H, W] to a tensor, list or tuple of tensors [B, ...].
        images: [B, C, H, W].
        table: bool, [B, K]: which of the K blocks each sample keeps. On a GPU it is copied to the host once.
        mode: How to run it; "auto" takes the way that is cheapest by the measured costs.
        costs: What the blocks cost, or how to find out; asked for only where paths differ and "auto" or
            "gathered" has a choice. None: a rule of thumb.
        sliceable: Whether every block can be run on some samples of a batch (`gates.all_sliceable`); where
            not, paths that differ are grouped, whatever the mode.

    Returns:
        What `call` returns for the whole batch, in the order of the images.
    """
    if len(images) == 0:
        # No sample, no path: whichever is taken, the shapes come out right.
        return _one(call, images, [True] * table.shape[1])
    if mode == "masked" and sliceable:
        with under(Masked(table.to(images.device))):
            return call(images)
    host = table.cpu()
    if len(host) == 1 or bool((host == host[0]).all()):
        return _one(call, images, host[0].tolist())
    # Where gradients are recorded nobody waits for milliseconds, and nothing is measured.
    asked = mode != "grouped" and sliceable and not torch.is_grad_enabled()
    known = (costs() if asked else None) if callable(costs) else costs
    return _mixed(call, images, table, host, mode if sliceable else "grouped", known)


def _mixed(
    call: Call, images: Tensor, table: Tensor, host: Tensor, mode: Mode, costs: CostModel | None
) -> Any:
    paths, group_of = by_likeness(host)
    order = torch.argsort(group_of, stable=True)
    portion, seconds = (len(host), 0.0) if costs is None else costs.portion(host[order])
    if mode == "auto" and costs is None:
        mode = "grouped" if len(host) >= _worthwhile(images.device) * len(paths) else "gathered"
    elif mode == "auto" and costs is not None:
        mode = "gathered" if seconds < costs.grouped_seconds(host) else "grouped"
    there = sent(order, images.device)
    if mode == "grouped":
        return _grouped(call, images, paths, there.split(torch.bincount(group_of).tolist()))
    if costs is None or torch.is_grad_enabled():
        with under(Gathered(table, images.device, host)):
            return call(images)
    table = table.to(images.device).index_select(0, there)
    return _gathered(call, images, table, host[order], there, costs, portion)


def _worthwhile(device: torch.device) -> float:
    return _SMALLEST_GROUP_WORTHWHILE.get(device.type, 4.0)


def _one(call: Call, images: Tensor, path: Sequence[bool]) -> Any:
    with under(OnePath(path)):
        return call(images)


def _gathered(
    call: Call, images: Tensor, table: Tensor, host: Tensor, there: Tensor, costs: CostModel, portion: int
) -> Any:
    joined, structure = _Joined(len(images)), None
    parts = zip(there.split(portion), table.split(portion), host.split(portion), strict=True)
    for rows, part, host_part in parts:
        with under(Gathered(part, images.device, host_part, costs.in_stretches(host_part))):
            leaves, structure = tree_flatten(call(take(images, rows)))
        joined.add(rows, leaves)
    assert structure is not None
    return tree_unflatten(joined.leaves(), structure)


def _grouped(call: Call, images: Tensor, paths: Tensor, members: Sequence[Tensor]) -> Any:
    joined, structure = _Joined(len(images)), None
    for path, rows in zip(paths.tolist(), members, strict=True):
        leaves, structure = tree_flatten(_one(call, take(images, rows), path))
        joined.add(rows, leaves)
    assert structure is not None
    return tree_unflatten(joined.leaves(), structure)


class _Joined:
    """The outputs of some groups, brought back into the order of the batch."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.rows: list[Tensor] = []
        self.parts: list[list[Any]] = []
        self.whole: list[Any] | None = None

    def add(self, rows: Tensor, leaves: list[Any]) -> None:
        if torch.is_grad_enabled():
            self.rows.append(rows)
            self.parts.append(leaves)
            return
        # Written at once, so that no group's output is held longer than its own forward pass.
        if self.whole is None:
            self.whole = [empty(leaf, self.batch) if _is_rows(leaf) else leaf for leaf in leaves]
        for whole, leaf in zip(self.whole, leaves, strict=True):
            if _is_rows(leaf):
                put(whole, rows, leaf)

    def leaves(self) -> list[Any]:
        if self.whole is not None:
            return self.whole
        back = torch.argsort(torch.cat(self.rows))
        return [
            take(torch.cat(list(leaf)), back) if _is_rows(leaf[0]) else leaf[0]
            for leaf in zip(*self.parts, strict=True)
        ]


def _is_rows(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.ndim > 0

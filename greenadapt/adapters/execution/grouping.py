"""From a policy's table to the output of the whole batch.

table [B, K] ── to the host, once ──┬─ one path ──────────────────────────── OnePath, whole batch
                                    ├─ grouped ─── a forward pass per path ── rows put back in order
                                    └─ gathered ── one forward pass over the samples, likest together
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    plan = _planned(host, mode if sliceable else "grouped", costs, images.device)
    there = sent(plan.order, images.device)
    if plan.mode == "grouped":
        return _grouped(call, images, plan.paths, there.split(plan.sizes))
    if plan.stretches is None:
        with under(Gathered(table, images.device, host)):
            return call(images)
    return _gathered(call, images, table.to(images.device).index_select(0, there), host, there, plan)


@dataclass(frozen=True)
class _Plan:
    """How a batch whose paths differ is run.

    Attributes:
        mode: Grouped or gathered.
        paths: bool, [G, K]: the distinct ones, on the CPU.
        sizes: How many samples take each.
        order: int64, [B], on the CPU: the samples, those of a path together.
        portion: How many samples, in that order, are gathered at a time.
        stretches: For each portion, which blocks run on stretches of its rows; None: the batch is gathered
            whole and in its own order.
    """

    mode: Mode
    paths: Tensor
    sizes: list[int]
    order: Tensor
    portion: int
    stretches: list[list[bool]] | None


# A few sums on the host for each batch, which a compiler has nothing to gain from and does not get through.
@torch.compiler.disable  # type: ignore[untyped-decorator, unused-ignore]
def _planned(
    host: Tensor,
    mode: Mode,
    costs: CostModel | Callable[[], CostModel | None] | None,
    device: torch.device,
) -> _Plan:
    # Where gradients are recorded nobody waits for milliseconds, and nothing is measured.
    asked = mode != "grouped" and not torch.is_grad_enabled()
    known = (costs() if asked else None) if callable(costs) else costs
    paths, group_of = by_likeness(host)
    order = torch.argsort(group_of, stable=True)
    portion, stretches = len(host), None
    if known is None and mode == "auto":
        mode = "grouped" if len(host) >= _worthwhile(device) * len(paths) else "gathered"
    elif known is not None and mode != "grouped":
        portion, seconds = known.portion(host[order])
        if mode == "auto" and known.grouped_seconds(host) <= seconds:
            mode = "grouped"
        elif not torch.is_grad_enabled():
            mode, stretches = "gathered", [known.in_stretches(part) for part in host[order].split(portion)]
    return _Plan(mode, paths, torch.bincount(group_of).tolist(), order, portion, stretches)


def _worthwhile(device: torch.device) -> float:
    return _SMALLEST_GROUP_WORTHWHILE.get(device.type, 4.0)


def _one(call: Call, images: Tensor, path: Sequence[bool]) -> Any:
    with under(OnePath(path)):
        return call(images)


def _gathered(call: Call, images: Tensor, table: Tensor, host: Tensor, there: Tensor, plan: _Plan) -> Any:
    joined, structure = _Joined(len(images)), None
    tables, hosts = table.split(plan.portion), host[plan.order].split(plan.portion)
    assert plan.stretches is not None
    parts = zip(there.split(plan.portion), tables, hosts, plan.stretches, strict=True)
    for rows, part, host_part, in_stretches in parts:
        with under(Gathered(part, images.device, host_part, in_stretches)):
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

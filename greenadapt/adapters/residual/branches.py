"""Attention and MLP of a block as residual blocks of their own.

    x ── + ── + ──        block(x)   = second(first(x))
       attn  mlp          first(x)   = block(x) with the MLP silent
                          second(x)  = block(x) with the attention silent

A branch is silent when its module and the `drop_path` at its end return zeros: the module so that nothing
is computed, the end so that a norm in between (Swin v2) adds nothing of its own. Whether a block really is
such a chain is tried on a copy with random weights, not read off its names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.residual.block import IDENTITY, ResidualBlock
from greenadapt.adapters.residual.probing import Probe
from greenadapt.adapters.residual.recording import Call, Seen
from greenadapt.adapters.retrofit import Retrofit, become

_ONLY: ContextVar[str | None] = ContextVar("greenadapt_branch", default=None)
_TOLERANCE = 1e-3


class Quiet(Retrofit):
    """A module of a branch, which gives zeros while another branch of its block runs alone.

    Attributes:
        quiet_branch: Name of the branch's module.
    """

    quiet_branch: str

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As the module's own, or zeros of the shape of its first argument."""
        only = _ONLY.get()
        if only is None or only == self.quiet_branch:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        return torch.zeros_like(x)


class Nothing(nn.Module):
    """Stands in the place of a branch that is dropped for good: zeros of the shape of its first argument."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Zeros like x."""
        return torch.zeros_like(x)


@contextmanager
def alone(branch: str) -> Iterator[None]:
    """In this thread, within the context, every other branch of a block is silent."""
    token = _ONLY.set(branch)
    try:
        yield
    finally:
        _ONLY.reset(token)


def branches(block: ResidualBlock, calls: dict[str, list[Call]]) -> list[ResidualBlock]:
    """The branches of a block, in the order in which they run; the block itself if it is no chain of two.

    Args:
        block: A block whose shortcut is the identity.
        calls: Those of all modules of its model, by name.
    """
    call = calls[block.name][0] if block.name in calls else None
    if not block.droppable or block.passage != IDENTITY or call is None or not isinstance(call.result, Seen):
        return [block]
    mains = [
        name for name, child in block.module.named_children() if _is_main(child, calls, block.name, name)
    ]
    if len(mains) != 2:
        return [block]
    parts = [replace(block, name=f"{block.name}.{main}", branch=main) for main in mains]
    return parts if _is_chain(block, mains, call) else [block]


def branch_modules(block: ResidualBlock) -> list[str]:
    """Names, within the block, of the modules of a branch that give zeros when it is silent."""
    assert block.branch is not None
    ends = _ends(block.module)
    if len(ends) != 2:
        return [block.branch]
    # A block's modules stand in the order in which they run: the branch ends at the next end.
    order = [name for name, _ in block.module.named_children()]
    behind = [end for end in ends if order.index(end) > order.index(block.branch)]
    return [block.branch, *behind[:1]]


def quieten(block: ResidualBlock) -> None:
    """Makes the modules of a branch fall silent while another branch of the block runs alone, in place."""
    for name in branch_modules(block):
        quiet: Any = become(block.module.get_submodule(name), Quiet)
        quiet.quiet_branch = block.branch


def cut_branch(block: ResidualBlock) -> None:
    """Drops a branch for good, in place: its modules are replaced, and their parameters gone."""
    for name in branch_modules(block):
        block.module.set_submodule(name, Nothing())


def _is_main(child: nn.Module, calls: dict[str, list[Call]], name: str, part: str) -> bool:
    seen = calls.get(f"{name}.{part}", ())
    if len(seen) != 1 or not seen[0].args or next(child.children(), None) is None:
        return False
    given = seen[0].args[0]
    return next(child.parameters(), None) is not None and isinstance(given, Seen) and given == seen[0].result


def _ends(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children() if "drop_path" in name]


def _is_chain(block: ResidualBlock, mains: list[str], call: Call) -> bool:
    probe = Probe(block.module, call)
    probe.shake()
    twin = replace(block, module=probe.block)
    for main in mains:
        quieten(replace(twin, branch=main))
    try:
        with alone(""):
            none = probe.run()
        with alone(mains[0]):
            first = probe.run()
        with alone(mains[1]):
            both = probe.run(first)
        whole = probe.run()
    except (RuntimeError, TypeError, ValueError):
        # A branch whose zeros have another shape than its result is none that can be silenced.
        return False
    given = probe.args[0]
    return (
        _close(none, given) and _close(both, whole) and not _close(first, given) and not _close(first, whole)
    )


def _close(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool((one - other).abs().max() <= _TOLERANCE * other.abs().max())

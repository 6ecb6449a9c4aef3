"""What is known of families by their names: where a shortcut may be, and what cannot be dropped."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from greenadapt.adapters.residual.block import Passage
from greenadapt.adapters.residual.recording import Call, Seen

_SHORTCUTS = ("downsample", "shortcut", "skip", "identity", "proj")
"""Names under which families keep the module of a shortcut."""
_BEFORE = ("norm1", "act1", "norm", "bn1", "pre_norm", "norm_act")
"""Modules through which some families lead the input before the shortcut parts from the branch."""
PASSING = {"RepViTBlock": ("token_mixer", "se")}
"""Blocks whose first modules every sample goes through, so that only what follows is a branch."""

DENSE = {"DenseLayer", "DenseBlock", "DualPathBlock", "SelecSlsBlock"}
"""Classes whose outputs are joined to their inputs, so that what follows needs them."""


def ways(block: nn.Module, calls: dict[str, list[Call]], name: str, call: Call) -> Iterator[Passage]:
    """The passages that a block's shortcut may take, by names and shapes; which one it is a probe tells.

    Args:
        block: The block.
        calls: Those of all modules, by name.
        name: The block's.
        call: The block's own call.
    """
    kind = type(block).__name__
    if kind in PASSING:
        yield Passage(through=PASSING[kind])
        return
    if hasattr(block, "res_scale1"):
        yield Passage(through=("res_scale1", "res_scale2"))
    source, target = call.args[0] if call.args else None, call.result
    if not isinstance(source, Seen) or not isinstance(target, Seen):
        return
    fits = {
        child: calls[f"{name}.{child}"][0]
        for child, _ in block.named_children()
        if len(calls.get(f"{name}.{child}", ())) == 1
    }
    for child in [c for c in _SHORTCUTS if c in fits]:
        if fits[child].result != target:
            continue
        yield Passage(through=(child,))
        for before in [b for b in _BEFORE if b in dict(block.named_children())]:
            beta = getattr(block, "beta", 1.0)
            yield Passage(through=(before, child), scale=float(beta) if isinstance(beta, float) else 1.0)

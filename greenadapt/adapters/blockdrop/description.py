"""What BlockDrop says of a model that it wrapped: every block, the policy, what a reader must know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from greenadapt.adapters.options import written
from greenadapt.interfaces import Block, Description

if TYPE_CHECKING:
    from torch import nn

    from greenadapt.adapters.blockdrop.adapter import BlockDrop


def described(model: BlockDrop) -> Description:
    """Every block, what its shortcut is, whether it is kept, and why not where it cannot be dropped."""
    policy, blocks = model.greenadapt_policy, _with_kept(model)
    network: nn.Module = model  # type: ignore[assignment]
    after = sum(p.numel() for p in network.parameters())
    own = 0 if policy is None else sum(p.numel() for p in policy.parameters())
    changes = [_change(block) for block in blocks]
    if policy is not None:
        changes.append(f"+ greenadapt_policy: {policy.summary()}")
    return Description(
        title=f"{type(model).retrofit_base.__name__} with BlockDrop, {written(model.greenadapt_config)}",
        changes=changes,
        blocks=blocks,
        parameters_before=after - own,
        parameters_after=after,
        notes=_notes(model),
    )


def _with_kept(model: BlockDrop) -> list[Block]:
    """The blocks with the share of images that run them; what cannot be dropped always runs."""
    path = iter(model.greenadapt_kept or [None] * model.greenadapt_blocks)
    blocks = []
    for block in model.greenadapt_found:
        kept = next(path) if block.droppable else True
        share = None if kept is None else float(kept)
        blocks.append(Block(block.name, block.shortcut, block.droppable, share, block.why_not))
    return blocks


def _notes(model: BlockDrop) -> list[str]:
    if model.greenadapt_policy is not None:
        return model.greenadapt_policy.notes()
    return model.greenadapt_config.notes(keeps_all=all(model.greenadapt_kept or ()))


def _change(block: Block) -> str:
    if not block.droppable:
        return f"  {block.name} (always runs: {block.why_not})"
    if block.kept == 0.0:
        return f"- {block.name} ({block.shortcut} shortcut stays)"
    return f"{'?' if block.kept is None else ' '} {block.name} ({block.shortcut} shortcut)"

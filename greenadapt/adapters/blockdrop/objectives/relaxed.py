"""A policy trained by straight-through gradients, from the best fixed path on; not in the paper.

    s [B, K] ── u ~ Bernoulli(s')     by the Gumbel-max trick, which for two outcomes is this
                │   u = 1   out = block(x)       gradient of the gate    <dL/dout, block(x) - shortcut(x)>
                └   u = 0   out = shortcut(x)    likewise, from a forward pass that moves no statistics

REINFORCE learns of K decisions from one number for each image. Here each decision has its own: how the loss
would change if the gate moved. A block that runs tells the slope at 1, where a trained base has little; one
that was dropped tells it at 0. Each is weighted by one over twice its chance, so that on average their mean
is taken: what a block is worth by the trapezoidal rule.

What moves a logit is that worth, a price and a decay; see the module `from_path` beside this one. Straight
through means that z moves by its worth itself, not by the slope of a sigmoid.

Source of the gradient: Bengio et al., arXiv 1308.3432; of the sampling: Jang et al., ICLR 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.blockdrop.objectives.from_path import EDGE, FromPathObjective, pull
from greenadapt.adapters.blockdrop.objectives.terms import bounded
from greenadapt.adapters.distillation import hits
from greenadapt.adapters.execution import Gathered
from greenadapt.adapters.gates import Rowwise
from greenadapt.adapters.norms import batch_norms, statistics_put_back, still
from greenadapt.adapters.residual import residual_blocks
from greenadapt.interfaces import Teacher

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop

EXPLORED = 0.97
"""Bound of the probabilities that paths are sampled from."""


class RelaxedObjective(FromPathObjective):
    """Joint training of base and policy by straight-through gradients; see the module for what it is.

    Args:
        model: A model with a learned policy.
        teacher: A frozen network that is learned from as well.
        epochs: Of the whole training; seven tenths are the settling.
    """

    name = "blockdrop gumbel"
    settling_share = 0.7

    def __init__(self, model: BlockDrop, teacher: Teacher | None, epochs: int) -> None:
        super().__init__(model, teacher, epochs)
        self.norms = norms_of(self.network)

    def explore(
        self, images: Tensor, labels: Tensor, probabilities: Tensor, greedy: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss of a sampled path, with gradients for the decisions, and which images it gets right."""
        chances = bounded(probabilities.detach(), EXPLORED)
        sampled = torch.bernoulli(chances).bool()
        logits_kept = torch.logit(probabilities, EDGE)
        slack = logits_kept - logits_kept.detach()
        self._straight_through(slack, logits_kept.detach(), 0.5 / torch.where(sampled, chances, 1 - chances))
        logits = self.model.forward_in(images, Relaxed(sampled, slack, self.norms))
        self.check(logits, "a logit of a sampled path")
        return self.base_loss(images, logits, labels), hits(logits.detach(), labels)

    def _straight_through(self, slack: Tensor, z: Tensor, weights: Tensor) -> None:
        over = self.over(z)
        slack.register_hook(lambda gradient: pull(gradient * weights, z, over))


class Relaxed:
    """A run as `Gathered`, in which every decision gets the gradient of its gate.

    Args:
        table: bool, [B, K]: blocks kept.
        slack: [B, K], zero in value, through which the gradients of the gates go to the policy.
        norms: The batch norms of each block, which are in eval mode while a dropped block is only asked.
    """

    kept_by_all = None

    def __init__(self, table: Tensor, slack: Tensor, norms: dict[int, list[nn.Module]]) -> None:
        self.gathered = Gathered(table, slack.device)
        self.slack = slack
        self.norms = norms

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """The output of a block on the samples that keep it and of its shortcut on the others."""
        column = self.slack[:, index]

        def ran(x_rows: Tensor, rows: Tensor | None) -> Tensor:
            out = block(x_rows, rows)
            # The block may have run its shortcut already, and moved the statistics of its norms.
            with torch.no_grad(), statistics_put_back(self.norms.get(index, [])):
                worth = out - shortcut(x_rows, rows)
            return _with_gate(out, column if rows is None else column[rows], worth)

        def passed(x_rows: Tensor, rows: Tensor | None) -> Tensor:
            out = shortcut(x_rows, rows)
            with torch.no_grad(), still(self.norms.get(index, [])):
                worth = block(x_rows, rows) - out
            return _with_gate(out, column if rows is None else column[rows], worth)

        return self.gathered.step(index, ran, passed, x)


class _Gate(torch.autograd.Function):
    """Passes its first argument on; the gradient of the gate is the product of its own with `worth`."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, gate: Tensor, worth: Tensor) -> Tensor:
        ctx.save_for_backward(worth)
        ctx.gate_dtype = gate.dtype
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (worth,) = ctx.saved_tensors
        (gradient,) = gradients
        moved = (gradient * worth).sum(dim=tuple(range(1, worth.ndim)), dtype=ctx.gate_dtype)
        return gradient, moved, None


def _with_gate(out: Tensor, gate: Tensor, worth: Tensor) -> Tensor:
    gated: Tensor = _Gate.apply(out, gate, worth)
    return gated


def norms_of(model: nn.Module) -> dict[int, list[nn.Module]]:
    """The batch norms of each block that can be dropped, by its number."""
    droppable = [block for block in residual_blocks(model) if block.droppable]
    return {index: list(batch_norms(block.module)) for index, block in enumerate(droppable)}

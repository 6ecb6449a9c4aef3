"""Gates: residual blocks that run, or pass on their shortcut, as the run under way in their thread says.

    gate(residual_blocks(model))       in place; outside a run every block is the ordinary block it was
    with under(run): model(images)     each droppable block asks run.step(index, block, shortcut, x)
    ungate(model)                      the classes they had

A run decides for whole samples: it calls `block` or `shortcut` with rows of x, and the gate cuts the
block's other arguments down to the same rows. Where that cannot be done the block is not sliceable, and a run
must take the batch as it is. Gates checkpoint themselves, so that a recomputed forward sees the decision of
the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from greenadapt.adapters.norms import batch_norms, statistics_as_now, still
from greenadapt.adapters.residual.block import Address, ResidualBlock, forget, note
from greenadapt.adapters.residual.branches import Quiet, alone, quieten
from greenadapt.adapters.retrofit import Retrofit, become

Rowwise = Callable[[Tensor, Tensor | None], Tensor]
"""Called as f(x_rows, rows): rows [n], int64 on x's device, are the samples that x_rows holds; None: all."""


class Run(Protocol):
    """Decides, for one forward pass, how each gated block runs."""

    @property
    def kept_by_all(self) -> Sequence[bool] | None:
        """Of each droppable block, whether all samples run it and it needs no step; None: all need one."""

    def step(self, index: int, block: Rowwise, shortcut: Rowwise, x: Tensor) -> Tensor:
        """The output of droppable block `index` on x [B, ...]."""


_RUN: ContextVar[Run | None] = ContextVar("greenadapt_run", default=None)
_ROUTED: ContextVar[nn.Module | None] = ContextVar("greenadapt_routed", default=None)


@contextmanager
def under(run: Run) -> Iterator[None]:
    """Gated blocks called in this thread within the context follow this run."""
    token = _RUN.set(run)
    try:
        yield
    finally:
        _RUN.reset(token)


@contextmanager
def routing(model: nn.Module | None) -> Iterator[None]:
    """Runs under way in this thread within the context are this model's alone; None: of whoever is called."""
    token = _ROUTED.set(model)
    try:
        yield
    finally:
        _ROUTED.reset(token)


def running(model: nn.Module | None = None) -> bool:
    """Whether a run is under way in this thread, and meant for this model if one is given."""
    return _RUN.get() is not None and (model is None or _ROUTED.get() in (None, model))


class Gated(Retrofit):
    """A residual block that runs, or passes on its shortcut, as the run under way says.

    Attributes:
        gate_index: Its number among the droppable blocks of its model; that of its first branch, if any.
        gate_blocks: What is known of it, or of each of its branches.
        gate_checkpointing: Whether it recomputes its activations in the backward pass.
    """

    gate_index: int
    gate_blocks: tuple[ResidualBlock, ...]
    gate_checkpointing: bool

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """As the block's own forward."""
        run = _RUN.get()
        plain: Callable[..., Any] = super().forward  # type: ignore[misc]
        if run is None:
            return plain(*args, **kwargs)
        # One image at a time, what a gate itself costs is a part of the forward pass that can be measured.
        whole, index = run.kept_by_all, self.gate_index
        if whole is not None and all(whole[index : index + len(self.gate_blocks)]) and not self._recomputes():
            return plain(*args, **kwargs)
        x, rest = args[0], args[1:]
        for number, known in enumerate(self.gate_blocks):
            step = _Step(self, plain, known, rest, kwargs)
            x = run.step(self.gate_index + number, step.block, step.shortcut, x)
        return x

    def _recomputes(self) -> bool:
        return self.gate_checkpointing and torch.is_grad_enabled()


class _Step:
    """A gated block, or one branch of it, within one call.

    Args:
        gate: The block.
        plain: Its own forward.
        known: What is known of it.
        rest: The arguments after the first.
        kwargs: The named ones.
    """

    def __init__(
        self, gate: Gated, plain: Callable[..., Any], known: ResidualBlock, rest: Any, kwargs: Any
    ) -> None:
        self.gate, self.plain, self.known, self.rest, self.kwargs = gate, plain, known, rest, kwargs

    def block(self, x: Tensor, rows: Tensor | None) -> Any:
        """The block, or its branch, on these rows."""
        rest, kwargs = self._others(rows)
        call = self._with_norms(self.plain if self.known.branch is None else self._alone, rows)
        if self.gate._recomputes():
            return checkpoint(call, x, *rest, use_reentrant=False, context_fn=self._contexts, **kwargs)
        return call(x, *rest, **kwargs)

    def shortcut(self, x: Tensor, rows: Tensor | None) -> Any:
        """What is passed on of these rows when the block is dropped."""
        rest, kwargs = self._others(rows)
        return self._with_norms(self.known.passage, rows)(self.gate, (x, *rest), kwargs)

    def _with_norms(self, call: Callable[..., Any], rows: Tensor | None) -> Callable[..., Any]:
        # One sample of a batch is no sample of its statistics, and at 1x1 pixels a norm refuses it.
        alone = rows is not None and len(rows) == 1 and self.gate.training  # type: ignore[attr-defined]
        return partial(self._with_still_norms, call) if alone else call

    def _with_still_norms(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with still(batch_norms(self.gate)):  # type: ignore[arg-type]
            return call(*args, **kwargs)

    def _contexts(self) -> tuple[Any, Any]:
        # Called before the block runs, whose norms have moved their statistics when it is recomputed.
        return nullcontext(), statistics_as_now(batch_norms(self.gate))  # type: ignore[arg-type]

    def _alone(self, *args: Any, **kwargs: Any) -> Any:
        with alone(self.known.branch):  # type: ignore[arg-type]
            return self.plain(*args, **kwargs)

    def _others(self, rows: Tensor | None) -> tuple[Any, Any]:
        if rows is None or not (self.rest or self.kwargs):
            return self.rest, self.kwargs
        shared = self.known.shared
        rest = tuple(_cut(part, rows, shared, (number + 1,)) for number, part in enumerate(self.rest))
        return rest, {key: _cut(part, rows, shared, (key,)) for key, part in self.kwargs.items()}


def gate(blocks: Sequence[ResidualBlock]) -> None:
    """Gates each droppable block where it stands, in place; their numbers count droppable ones only."""
    note(blocks)
    for index, block in enumerate(block for block in blocks if block.droppable):
        if isinstance(block.module, Gated):
            block.module.gate_blocks += (block,)
        else:
            gated: Any = become(block.module, Gated)
            gated.gate_index, gated.gate_blocks, gated.gate_checkpointing = index, (block,), False
        if block.branch is not None:
            quieten(block)


def checkpoint_gates(model: nn.Module, enable: bool = True) -> None:
    """Has each gated block recompute its activations, and nothing else of the model, in place.

    timm's own checkpoints span several blocks, and would recompute them outside the run of the forward.
    """
    for module in model.modules():
        if getattr(module, "grad_checkpointing", False) is True:
            module.grad_checkpointing = False  # type: ignore[assignment]
        if isinstance(module, Gated):
            module.gate_checkpointing = enable


def ungate(model: nn.Module) -> nn.Module:
    """Gives every gated block of a model the class it had, in place; returns the model."""
    forget(model)
    for module in list(model.modules()):
        if isinstance(module, (Gated, Quiet)):
            module.__class__ = type(module).retrofit_base  # type: ignore[assignment]
            # By their whole names: timm's gated layers have a `gate_last`, and need it.
            for name in (*Gated.__annotations__, *Quiet.__annotations__):
                vars(module).pop(name, None)
    return model


def all_sliceable(model: nn.Module) -> bool:
    """Whether every gated block can be run on some samples of a batch; where not, a run must group."""
    gates = [module for module in model.modules() if isinstance(module, Gated)]
    return all(block.sliceable for module in gates for block in module.gate_blocks)


def _cut(value: Any, rows: Tensor, shared: Sequence[Address], address: Address) -> Any:
    """Every tensor that is by sample cut down to these samples; everything else as it is."""
    if isinstance(value, Tensor):
        return value if address in shared or value.ndim == 0 else value.index_select(0, rows)
    if isinstance(value, (tuple, list)):
        return type(value)(_cut(part, rows, shared, (*address, number)) for number, part in enumerate(value))
    if isinstance(value, dict):
        return {key: _cut(part, rows, shared, (*address, key)) for key, part in value.items()}
    return value

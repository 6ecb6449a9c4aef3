"""Single paths of a policy as plain networks, and a router over a few of them.

    static_path(model, path)   the base's class without gates, policy or context variable: it compiles in one
                               graph, exports (torch.export, ONNX) and runs where greenadapt is not installed
    Router(model)              policy ── paths of a batch, to the host once ── each path on its own samples

Both share the weights of the model they were made from: M paths take the memory of one network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.blockdrop.paths import as_path, assign
from greenadapt.adapters.execution.placing import empty, put, take
from greenadapt.adapters.gates import Gated, ungate
from greenadapt.adapters.residual import ResidualBlock, shortcut_module
from greenadapt.adapters.residual.block import IDENTITY
from greenadapt.adapters.residual.branches import cut_branch
from greenadapt.adapters.retrofit import Retrofit
from greenadapt.adapters.sharing import shared_copy
from greenadapt.errors import ModelError, OptionError


def static_path(model: nn.Module, path: Sequence[bool]) -> nn.Module:
    """The network that samples of one path run, as a module of the base's class.

    Args:
        model: A model under BlockDrop, or any whose residual blocks are gated. It is not changed. Hooks on
            it are not on the path, which shares its parameters and buffers.
        path: Which of the K droppable blocks are kept.

    Returns:
        Images [B, C, H, W] to logits [B, classes], in the model's own training or eval mode. Dropped blocks
        are replaced by their shortcuts, and their parameters are gone.

    Raises:
        OptionError: The path is for another number of blocks, or holds more than yes and no.
        ModelError: No block of the model is gated.
    """
    plain: Any = shared_copy(model, without=("greenadapt_policy",))
    gates = [module for module in plain.modules() if isinstance(module, Gated)]
    count = sum(len(gate.gate_blocks) for gate in gates)
    if not count:
        raise ModelError(
            "This model has no paths.",
            f"No block of {type(model).__name__} is gated.",
            "Wrap it with 'blockdrop' first.",
        )
    kept_blocks = as_path(path, count)
    dropped = [_dropped(gate, kept_blocks) for gate in gates]
    names = {id(module): name for name, module in plain.named_modules()}
    ungate(plain)
    for gate, blocks, kept in dropped:
        if blocks and not kept:
            whole = blocks[0] if blocks[0].branch is None else replace(blocks[0], passage=IDENTITY)
            plain.set_submodule(names[id(gate)], shortcut_module(whole))
        elif blocks:
            for block in blocks:
                cut_branch(block)
    return _bare(plain)


class Router(nn.Module):
    """A policy and its few paths: asks once for the whole batch, then runs each path on its own samples.

    Args:
        model: A model under BlockDrop with a learned policy.
        paths: bool, [M, K], the cheapest first and the last keeping all (`paths.limit_paths`); None takes
            those the model was limited to (option ``paths``, `paths.limit`).
        backend: A backend of torch.compile: each path is then one compiled graph, and a CUDA graph on a GPU.
            Groups are filled up to a power of two, so that few sizes are compiled. None: as they are.

    Attributes:
        allowed: bool, [M, K]: the paths, each once.

    Raises:
        ModelError: The model has no policy, or was not limited and no paths are given.
        OptionError: The paths are for another number of blocks, or the last does not keep all.
    """

    allowed: Tensor

    def __init__(self, model: nn.Module, paths: Tensor | None = None, backend: str | None = None) -> None:
        super().__init__()
        policy = getattr(model, "greenadapt_policy", None)
        limited = getattr(model, "greenadapt_allowed", None) if paths is None else paths
        if policy is None or limited is None or (paths is None and bool(limited.all())):
            raise ModelError(
                "There is nothing to route.",
                f"{type(model).__name__}: no learned policy, or its paths were never limited.",
                "Wrap with paths=8 and fine-tune, or pass paths= from limit_paths.",
            )
        blocks = limited.shape[-1]
        distinct = list(dict.fromkeys(as_path(row, blocks) for row in limited))
        if not distinct or not all(distinct[-1]):
            raise OptionError(
                "A sample may have nowhere to go.",
                f"None of the {len(distinct)} paths, or not the last, keeps all {blocks} blocks.",
                "Give the cheapest first and the whole network last, as limit_paths does.",
            )
        self.policy = policy
        self.paths = nn.ModuleList(static_path(model, path) for path in distinct)
        self.register_buffer("allowed", torch.tensor(distinct, device=limited.device), persistent=False)
        self.backend = backend
        if backend is not None:
            for path in self.paths:
                # Outputs are copied before the next replay, which is what a CUDA graph asks for.
                on_gpu = backend == "inductor" and limited.is_cuda
                path.compile(
                    fullgraph=True,
                    dynamic=False,
                    backend=backend,
                    **({"mode": "reduce-overhead"} if on_gpu else {}),
                )

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, C, H, W] to logits [B, classes]."""
        with torch.no_grad():
            table = ~(self.policy(images) < 0.5)
            chosen = assign(table, self.allowed)
        whole: Tensor | None = None
        for number, rows in self._groups(chosen, len(images)):
            some = images if rows is None else take(images, rows)
            logits = self._run(self.paths[number], some)
            if rows is None:
                return logits.clone() if self.backend is not None else logits
            whole = empty(logits, len(images)) if whole is None else whole
            put(whole, rows, logits)
        assert whole is not None
        return whole

    def _groups(self, chosen: Tensor, batch: int) -> Iterator[tuple[int, Tensor | None]]:
        order = torch.argsort(chosen, stable=True)
        counts = torch.bincount(chosen.cpu(), minlength=len(self.paths)).tolist()
        first = 0
        for number, count in enumerate(counts):
            if count == batch:
                yield number, None
            elif count:
                yield number, order[first : first + count]
            first += count
        if not batch:
            yield 0, None

    def _run(self, path: nn.Module, images: Tensor) -> Tensor:
        count = len(images)
        if self.backend is None or count == 0:
            logits: Tensor = path(images)
            return logits
        full = 1 << (count - 1).bit_length()
        filled = torch.arange(full, device=images.device).clamp_max(count - 1)
        padded: Tensor = path(images if full == count else take(images, filled))
        return padded[:count]


def _dropped(gate: Gated, path: Sequence[bool]) -> tuple[Gated, list[ResidualBlock], bool]:
    """A gate, those of its blocks or branches that the path drops, and whether any of them is kept."""
    keeps = path[gate.gate_index : gate.gate_index + len(gate.gate_blocks)]
    blocks = [block for block, keep in zip(gate.gate_blocks, keeps, strict=True) if not keep]
    return gate, blocks, len(blocks) < len(gate.gate_blocks)


def _bare(model: Any) -> nn.Module:
    """The model less what a retrofit added to it: its class, and everything under the prefix."""
    for store in (model._modules, model._buffers, model._parameters, vars(model)):
        for name in [name for name in store if name.startswith("greenadapt_")]:
            del store[name]
    if isinstance(model, Retrofit):
        model.__class__ = type(model).retrofit_base  # type: ignore[assignment]
    bare: nn.Module = model
    return bare

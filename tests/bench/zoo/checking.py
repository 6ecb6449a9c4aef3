"""One network of timm's: does it wrap, are its logits the base's, do dropped blocks stay uncalled.

By values, at the smallest image that it takes, wherever its weights and work are affordable; else by
structure alone, on the meta device: blocks are found and gated, and the shapes of all kept and half dropped
are right.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import timm
import torch
from torch import Tensor, nn

from greenadapt.adapters.blockdrop.adapter import adapter
from greenadapt.adapters.blockdrop.config import BlockDropConfig
from greenadapt.adapters.execution import OnePath
from greenadapt.adapters.gates import gate, under
from greenadapt.adapters.residual import residual_blocks
from greenadapt.errors import GreenadaptError
from tests.bench.zoo.drawing import from_tables
from tests.bench.zoo.oracle import awake, dropped, settle, share

MOST_PARAMETERS = 2_000_000_000
"""Beyond it values are not computed: the weights, of which two copies are held at times, would not fit."""
_SMALLEST = 32
"""Pixels; smaller images would leave nothing but one position, and a mixer of positions unseen."""
_SIZES = (64, 96, 128, 160)
_TOLERANCE = 1e-4
_TOLD_APART = 1e-3
"""Dropping half the blocks must change the logits by more than this share, or the check says nothing."""


@dataclass(frozen=True)
class Row:
    """What was seen of one architecture.

    Attributes:
        name: timm's.
        family: timm's file.
        blocks: Residual blocks that were found.
        droppable: How many of them can be dropped.
        checked: "values", "structure" or "nothing".
        size: Height and width of the images, px.
        why_not: Why it does not count as covered, or None.
        why_structure: Why values were not computed, or None.
        find_seconds: CPU time of finding the blocks.
        seconds: CPU time of everything.
    """

    name: str
    family: str
    blocks: int = 0
    droppable: int = 0
    checked: str = "nothing"
    size: int | None = None
    why_not: str | None = None
    why_structure: str | None = None
    find_seconds: float | None = None
    seconds: float | None = None


def check(name: str, family: str) -> Row:
    """Tries one architecture.

    Args:
        name: timm's.
        family: timm's file that it is in.
    """
    began = time.process_time()
    with torch.device("meta"):
        bare = timm.create_model(name).eval()
    weights = sum(p.numel() for p in bare.parameters())
    try:
        if weights > MOST_PARAMETERS:
            row = structure(bare, name, family, f"{weights / 1e9:.1f} billion parameters")
        else:
            with from_tables():
                model, size = smallest(name)
            row = values(model, size, name, family, _found(bare))
    except GreenadaptError as error:
        row = Row(name, family, why_not=error.seen.rstrip("."))
    return Row(**{**vars(row), "seconds": round(time.process_time() - began, 2)})


def smallest(name: str, **options: Any) -> tuple[nn.Module, int]:
    """The network, awake, and the smallest image size that it runs on.

    Args:
        name: timm's.
        **options: For `timm.create_model`.
    """
    torch.manual_seed(0)
    model: Any = awake(timm.create_model(name, **options).eval())
    native = model.pretrained_cfg["input_size"][-1]
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", 16)
    patch = patch[0] if isinstance(patch, (tuple, list)) else patch
    # A network of windows is made for its size: it is made anew for a smaller one.
    for size in [s for s in (*_SIZES, 4 * patch, 8 * patch, native // 2) if _SMALLEST <= s < native]:
        if _runs(model, size):
            return model, size
    for size in sorted({native // 4, native // 2}):
        try:
            made = awake(timm.create_model(name, img_size=size, **options).eval())
        except (TypeError, RuntimeError, AssertionError, ValueError):
            continue
        if _runs(made, size):
            made.pretrained_cfg = {**made.pretrained_cfg, "input_size": (3, size, size)}
            return made, size
    return model, native


def values(
    model: nn.Module, size: int, name: str, family: str, on_meta: list[tuple[str, str]] | None = None
) -> Row:
    """Compares logits with those of the base and of the oracle.

    Args:
        model: The network, awake; the statistics of its batch norms are set.
        size: Height and width of the images, px.
        name: timm's.
        family: timm's file that it is in.
        on_meta: What was found on the meta device, where a saved model is built before its weights are read.
    """
    began = time.process_time()
    thin: Any = adapter.wrap(share(model), BlockDropConfig(keep=0.5, policy="spread"))
    took = round(time.process_time() - began, 3)
    blocks = residual_blocks(thin)
    names = [block.name for block in blocks if block.droppable]
    described = [block for block in adapter.describe(thin).blocks if block.droppable]
    path = tuple(block.kept != 0.0 for block in described)
    # Of a single block keep=0.5 keeps one.
    path = path if not all(path) else (False,) * len(path)
    gone = [name for name, stays in zip(names, path, strict=True) if not stays]
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    settle(model, size)
    row = Row(name, family, len(blocks), len(names), "values", size, find_seconds=took)
    with torch.inference_mode():
        base = model(images)
        kept = _along(thin, images, (True,) * len(names))
        with counted(thin, gone) as calls:
            half = thin(images) if len(path) > 1 else _along(thin, images, path)
        expected = dropped(model, gone)(images)
    if on_meta is not None and on_meta != [(block.name, block.shortcut) for block in blocks]:
        return Row(**{**vars(row), "why_not": "without weights other blocks are found than with them"})
    return Row(**{**vars(row), "why_not": _verdict(base, kept, half, expected, gone, calls.count)})


def structure(model: nn.Module, name: str, family: str, why: str) -> Row:
    """Finds and gates the blocks of a network on the meta device, and runs it there.

    Args:
        model: The network, on the meta device.
        name: timm's.
        family: timm's file that it is in.
        why: Why values are not computed.
    """
    began = time.process_time()
    blocks = residual_blocks(model)
    took = round(time.process_time() - began, 3)
    count = sum(block.droppable for block in blocks)
    gate(blocks)
    size = model.pretrained_cfg["input_size"][-1]  # type: ignore[index]
    images = torch.empty(2, 3, size, size, device="meta")
    shapes = []
    for path in ((True,) * count, tuple(k % 2 == 0 for k in range(count))):
        with torch.no_grad(), under(OnePath(path)):
            shapes.append(tuple(model(images).shape))
    why_not = None if shapes[0] == shapes[1] else f"half dropped gives {shapes[1]} instead of {shapes[0]}"
    return Row(name, family, len(blocks), count, "structure", size, why_not, why, took)


def _along(model: nn.Module, images: Tensor, path: tuple[bool, ...]) -> Tensor:
    with under(OnePath(path)):
        logits: Tensor = model(images)
        return logits


def _found(model: nn.Module) -> list[tuple[str, str]]:
    return [(block.name, block.shortcut) for block in residual_blocks(model)]


class counted:
    """Counts calls of the modules within some blocks, but for those on a shortcut.

    Args:
        model: The model.
        names: Of the blocks.
    """

    def __init__(self, model: nn.Module, names: list[str]) -> None:
        self.count = 0
        self.model, self.names = model, names

    def __enter__(self) -> counted:
        self.hooks = []
        within: dict[int, list[str]] = {}
        # Some families have modules that several blocks share: those may be called for another block.
        for name, module in self.model.named_modules(remove_duplicate=False):
            within.setdefault(id(module), []).append(name)
        for name in self.names:
            block: Any = self.model.get_submodule(name)
            led = block.gate_blocks[0].passage.through
            for part, module in block.named_modules():
                shared = any(
                    not other.startswith(tuple(f"{n}." for n in self.names)) for other in within[id(module)]
                )
                on_shortcut = any(part == other or part.startswith(f"{other}.") for other in led)
                if part and not shared and not on_shortcut:
                    self.hooks.append(module.register_forward_hook(self._called))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _called(self, *_: object) -> None:
        self.count += 1


def _runs(model: Callable[[Tensor], Any], size: int) -> bool:
    try:
        with torch.inference_mode():
            return bool(torch.isfinite(model(torch.zeros(1, 3, size, size))).all())
    except (RuntimeError, AssertionError, ValueError, IndexError, ZeroDivisionError):
        return False


def _verdict(
    base: Tensor, kept: Tensor, half: Tensor, expected: Tensor, gone: list[str], calls: int
) -> str | None:
    if not torch.equal(base, kept):
        return f"all kept differs from the base by {_distance(kept, base):.1e}"
    if calls:
        return f"modules of dropped blocks were called {calls} times"
    if not _distance(half, expected) <= _TOLERANCE:
        return f"half dropped differs from the oracle by {_distance(half, expected):.1e}"
    if not _distance(half, base) > _TOLD_APART:
        return f"dropping half its blocks changes {_distance(half, base):.1e}: too little to check"
    return None


def _distance(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())

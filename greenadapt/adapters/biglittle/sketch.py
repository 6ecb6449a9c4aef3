"""Tries a conversion on a copy without weights: what it refuses, what it saves, how small an image may be.

    network ── copy on the meta device ──> MACs before ── converted ──> MACs after, pixels of each stage

The copy has every shape and no number, so that it costs neither memory nor arithmetic; and a conversion that
is refused has not touched the network.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.biglittle.thinning import without_hooks
from greenadapt.counting import counting
from greenadapt.errors import ModelError
from greenadapt.inspection import input_shape
from greenadapt.zoo.bl_stages import Branches


@dataclass(frozen=True)
class Saving:
    """What a conversion saves, for one image.

    Attributes:
        before: Multiply-accumulates of the base.
        after: Those of the Big-Little network.
        size: Height of that image, pixels.
        reductions: How many pixels of the image one pixel of each converted stage stands for, by the name
            of its branches.
    """

    before: int
    after: int
    size: int
    reductions: dict[str, int]

    @property
    def share(self) -> float:
        """Saved, as a share of the base's: below 0 where the network costs more."""
        return 1 - self.after / self.before


def tried(model: nn.Module, change: Callable[[nn.Module], object]) -> Saving | None:
    """Carries out a change on a copy without weights.

    Args:
        model: Any network; it is left as it is.
        change: What is done to the copy, in place. What it raises goes through.

    Returns:
        What it saves, or None where the network does not run without numbers, so that nothing is known.

    Raises:
        ModelError: The network runs, and after the change it does not.
    """
    drawn = _without_weights(model).eval()
    channels, height, width = input_shape(model)
    first = next(drawn.parameters())
    image = torch.empty(1, channels, height, width, device="meta", dtype=first.dtype)
    before = _run(drawn, image)
    # The layers that a change makes would draw numbers, which the real ones are to draw.
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        change(drawn)
    after = _run(drawn.eval(), image)
    if isinstance(before, Exception):
        return None
    if isinstance(after, Exception):
        raise ModelError(
            "Big-Little does not fit this network.",
            f"Converted it would not run any more: {(str(after) or type(after).__name__).splitlines()[0]}",
            "Convert the network as its source builds it, before layers of it are changed.",
        ) from after
    return Saving(before[0], after[0], height, {name: -(-height // px) for name, px in after[1].items()})


def _without_weights(model: nn.Module) -> Any:
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = (
            nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
        )
    return without_hooks(copy.deepcopy(model, memo))


def _run(model: nn.Module, image: Tensor) -> tuple[int, dict[str, int]] | Exception:
    """Multiply-accumulates of a forward pass, and the height of what each pair of branches gives."""
    heights: dict[str, int] = {}
    with _watched(model, heights), counting(model) as counter:
        try:
            model(image)
        except (RuntimeError, NotImplementedError) as error:
            return error
        return counter.macs, heights


@contextmanager
def _watched(model: nn.Module, heights: dict[str, int]) -> Iterator[None]:
    def measure(name: str) -> Callable[[Any, Any, Tensor], None]:
        return lambda _, __, given: heights.update({name: given.shape[-2]})

    handles = [
        module.register_forward_hook(measure(name))
        for name, module in model.named_modules()
        if isinstance(module, Branches)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

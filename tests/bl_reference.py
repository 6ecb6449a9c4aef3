"""What the authors' published Big-Little checkpoints look like: every name and shape, written down anew.

Nothing here is taken from `greenadapt.zoo`, so that its names and its shapes have something to agree with.
Source: the published networks, https://github.com/IBM/BigLittleNet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.golden import drawn

Shape = tuple[int, ...]
COUNTS = (
    ("bl_resnet50", 2, 2, 26_974_632, 2_910_650_368),
    ("bl_resnet50", 2, 4, 26_694_568, 2_856_058_880),
    ("bl_resnet50", 4, 4, 26_236_456, 2_477_129_728),
    ("bl_resnet101", 2, 4, 41_851_560, 3_893_297_152),
    ("bl_resnext50_32x4d", 2, 4, 26_192_168, 3_027_058_688),
    ("bl_resnext101_32x4d", 2, 4, 41_512_744, 4_079_149_056),
    ("bl_seresnext50_32x4d", 2, 4, 28_767_120, 3_029_616_640),
)
"""Name, alpha, beta, parameters, MACs; counted on the published code. Without the classifier the MACs are
2,048,000 fewer: the authors' convention."""
LAYERS = {50: (3, 4, 6, 3), 101: (4, 8, 18, 3), 152: (5, 12, 30, 3)}


def published_shapes(
    layers: tuple[int, int, int, int] = LAYERS[50],
    alpha: int = 2,
    beta: int = 4,
    width: int = 64,
    groups: int = 1,
    squeeze: bool = False,
    classes: int = 1000,
) -> dict[str, Shape]:
    """Names and shapes of a published network's tensors.

    Args:
        layers: Blocks of the four stages.
        alpha: Divisor of the little branches' widths.
        beta: Divisor of their depths.
        width: Base width of a group.
        groups: Cardinality.
        squeeze: Whether it is one of the bLSEResNeXt.
        classes: Rows of the classifier.
    """
    return dict(_network(layers, alpha, beta, width, groups, squeeze, classes))


def published_tensors(shapes: dict[str, Shape]) -> dict[str, Tensor]:
    """Tensors of these names and shapes by the recipe of the goldens, in float32."""
    return {name: drawn(name, shape).float() if shape else torch.tensor(7) for name, shape in shapes.items()}


def write_checkpoint(file: Path, tensors: dict[str, Tensor], parallel: bool = True, **more: Any) -> Path:
    """A file as the authors' training script leaves it."""
    prefix = "module." if parallel else ""
    state = {f"{prefix}{name}": tensor for name, tensor in tensors.items()}
    torch.save({"epoch": 110, "arch": "bL", "state_dict": state, "best_top1": torch.ones(1), **more}, file)
    return file


def _network(
    layers: tuple[int, ...], alpha: int, beta: int, width: int, groups: int, squeeze: bool, classes: int
) -> Iterator[tuple[str, Shape]]:
    thin = 64 // alpha
    yield from _conv("conv1", "bn1", (64, 3, 7, 7))
    yield from _conv("b_conv0", "bn_b0", (64, 64, 3, 3))
    yield from _conv("l_conv0", "bn_l0", (thin, 64, 3, 3))
    yield from _conv("l_conv1", "bn_l1", (thin, thin, 3, 3))
    yield from _conv("l_conv2", "bn_l2", (64, thin, 1, 1))
    yield from _conv("bl_init", "bn_bl_init", (64, 64, 1, 1))
    inputs = 64
    for number, blocks in enumerate(layers[:3], start=1):
        outputs, name = 128 * 2**number, f"layer{number}"
        yield from _chain(f"{name}.big", inputs, outputs, blocks - 1, True, width, groups, squeeze)
        little = max(1, blocks // beta - 1)
        slim = (width * alpha, groups // alpha) if groups > 1 else (width, 1)
        yield from _chain(f"{name}.little", inputs, outputs // alpha, little, False, *slim, squeeze)
        yield from _conv(f"{name}.little_e.0", f"{name}.little_e.1", (outputs, outputs // alpha, 1, 1))
        yield from _chain(f"{name}.fusion", outputs, outputs, 1, number < 3, width, groups, squeeze)
        inputs = outputs
    yield from _chain("layer4", inputs, 2048, layers[3], True, width, groups, squeeze)
    yield from {"fc.weight": (classes, 2048), "fc.bias": (classes,)}.items()


def _chain(
    name: str, inputs: int, outputs: int, blocks: int, halves: bool, width: int, groups: int, squeeze: bool
) -> Iterator[tuple[str, Shape]]:
    per_group = outputs * width // 64 // 4
    middle = per_group * groups
    for i in range(blocks):
        block, first = f"{name}.{i}", inputs if i == 0 else outputs
        yield from _conv(f"{block}.conv1", f"{block}.bn1", (middle, first, 1, 1))
        yield from _conv(f"{block}.conv2", f"{block}.bn2", (middle, per_group, 3, 3))
        yield from _conv(f"{block}.conv3", f"{block}.bn3", (outputs, middle, 1, 1))
        if squeeze:
            squeezed = outputs // 16
            for layer, shape in (("fc1", (squeezed, outputs)), ("fc2", (outputs, squeezed))):
                yield f"{block}.se_layer.{layer}.weight", (*shape, 1, 1)
                yield f"{block}.se_layer.{layer}.bias", shape[:1]
        if first != outputs:
            # The pooling before it has no tensors, but it counts.
            at = 1 if halves else 0
            shortcut = f"{block}.downsample"
            yield from _conv(f"{shortcut}.{at}", f"{shortcut}.{at + 1}", (outputs, first, 1, 1))


def _conv(conv: str, norm: str, shape: Shape) -> Iterator[tuple[str, Shape]]:
    yield f"{conv}.weight", shape
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{norm}.{part}", shape[:1]
    yield f"{norm}.num_batches_tracked", ()

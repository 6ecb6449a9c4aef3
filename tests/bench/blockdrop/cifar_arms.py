"""The arms of the CIFAR-10 experiment: what each begins with, how much it may spend, how it is trained.

ResNet-56, published ── wrapped(arm, fitting_keep(arm)) ──┬───────────── RECIPES[arm]
weights of the best fixed path ── begin ──────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import greenadapt
from greenadapt.adapters.blockdrop.beginning import begin_from
from greenadapt.adapters.blockdrop.fixed import find_best_path, fixed_path
from greenadapt.data import ImageArrays
from greenadapt.errors import ModelError
from tests.bench import cifar10
from tests.bench.blockdrop.cifar_figures import block_flops
from tests.bench.blockdrop.cifar_rows import ALIKE, ARMS, BEGUN, BEST_PATH, CONTINUED, JOINT, LONGER, RIVAL

DEPTH = 56
_SEARCHED = 128
_OPTIONS: dict[str, dict[str, Any]] = {
    JOINT: {"policy": "learned", "objective": "gumbel", "policy_net": "cifar_resnet8", "policy_downscale": 2},
    BEGUN: {
        "policy": "learned",
        "objective": "counterfactual",
        "policy_net": "cifar_resnet8",
        "policy_downscale": 4,
    },
    LONGER: {"policy": BEST_PATH},
}
_KEEP = {JOINT: 0.515, BEGUN: 0.54}
"""What a policy costs is known after training. With stages that keep their first block, 13.9 of 27 blocks and
6.1 MFLOPs for the policy are 133.5, and 14.6 blocks and 1.5 are 135.4, of ResNet-32's 137.7."""


@dataclass(frozen=True)
class Recipe:
    """How an arm is trained: the same for all that begin with the base, and for both that go on.

    Attributes:
        epochs: Passes over the training images.
        learning_rate: The base's highest.
        weight_decay: For weights.
        batch_size: Images per step.
        precision: Of autocast.
        mixup: Alpha of the Beta distribution by which images are mixed.
        seed: Of everything that is drawn.
        images: How many training images.
    """

    epochs: int = 30
    learning_rate: float = 0.03
    weight_decay: float = 1e-4
    batch_size: int = 128
    precision: str = "bf16"
    mixup: float = 1.0
    seed: int = 0
    images: int = 50_000


RECIPES = {arm: Recipe(epochs=10, learning_rate=0.01) if arm in CONTINUED else Recipe() for arm in ARMS}


def wrapped(arm: str, keep: float, seed: int) -> nn.Module:
    """The network of an arm before its training: ResNet-56 with its published weights under a policy.

    Args:
        arm: One of `ARMS`; `ALIKE` is the plain rival itself.
        keep: Share of the blocks.
        seed: Of what is drawn.
    """
    torch.manual_seed(seed)
    if arm == ALIKE:
        return cifar10.plain(RIVAL)
    options = _OPTIONS.get(arm, {"policy": arm})
    return greenadapt.wrap(cifar10.plain(DEPTH), "blockdrop", keep=keep, seed=seed, **options)


def begin(thin: nn.Module, arm: str, results: Path) -> None:
    """Has an arm of `CONTINUED` begin where `BEST_PATH` has ended.

    Args:
        thin: Its network.
        arm: Which.
        results: Folder with the weights of `BEST_PATH`.

    Raises:
        ModelError: Those are not there.
    """
    file = results / f"{BEST_PATH}.safetensors"
    if not file.exists():
        raise ModelError(
            f"The arm {arm!r} cannot begin.",
            f"It goes on from {file}, which is not there.",
            f"Train that one first: train --arm {BEST_PATH}",
        )
    ended = read(file)
    fixed = wrapped(BEST_PATH, float(ended["greenadapt_path"].float().mean()), 0)
    fixed.load_state_dict(ended)
    if arm == BEGUN:
        begin_from(thin, fixed)
    else:
        thin.load_state_dict(fixed.state_dict())


def fitting_keep(arm: str, data: ImageArrays, seed: int) -> float:
    """The largest share of the blocks that costs no more than the plain rival, ResNet-32.

    Args:
        arm: One of `ARMS`. A learned policy has a share of its own, the plain rival keeps all.
        data: Training images, for the arm whose path is found on them.
        seed: Of the random path.
    """
    if arm == ALIKE or arm in _KEEP:
        return _KEEP.get(arm, 1.0)
    model: Any = wrapped("spread", 0.5, seed)
    rest, blocks = block_flops(model)
    limit, count = 2 * cifar10.macs(cifar10.plain(RIVAL)), len(blocks)
    paths: list[tuple[bool, ...]] = []
    if arm in (BEST_PATH, LONGER):
        least = next(n for n in range(count, 0, -1) if rest + n * max(blocks) <= limit)
        images = torch.stack([data[i][0] for i in range(min(_SEARCHED, len(data)))])
        dropped = find_best_path(model, images, least / count, adapted=True).dropped
        paths = [tuple(b not in dropped[:n] for b in range(count)) for n in range(len(dropped) + 1)]
    else:
        paths = [fixed_path(arm, count, n / count, seed) for n in range(count, 0, -1)]
    costs = [rest + sum(f for f, kept in zip(blocks, path, strict=True) if kept) for path in paths]
    fits = next(path for path, cost in zip(paths, costs, strict=True) if cost <= limit)
    return sum(fits) / count


def small(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of two and more dimensions in half precision; norms and biases keep theirs."""
    return {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()
        for name, value in state.items()
    }


def read(file: Path) -> dict[str, Tensor]:
    """What `small` made smaller, in single precision again."""
    return {
        name: value.float() if value.ndim > 1 and value.is_floating_point() else value
        for name, value in load_file(file).items()
    }

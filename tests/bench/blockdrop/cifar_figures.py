"""What the arms of the CIFAR-10 experiment cost and get right."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.execution import OnePath
from greenadapt.data import ImageArrays
from greenadapt.statistics import pack_hits
from tests.bench import cifar10


def block_flops(model: Any) -> tuple[int, list[int]]:
    """FLOPs (2 x MAC) of an image: of what always runs, the policy not counted, and of each block."""
    count = model.greenadapt_blocks
    image = torch.zeros(1, 3, 32, 32)

    def cost(path: tuple[bool, ...]) -> int:
        return 2 * cifar10.macs(_Under(model, path), image)

    rest = cost((False,) * count)
    return rest, [cost(tuple(b == block for b in range(count))) - rest for block in range(count)]


def got_right(model: nn.Module, test: ImageArrays) -> dict[str, Any]:
    """Which test images a network classifies correctly, in fp32.

    Args:
        model: A network.
        test: Test images.
    """
    right = cifar10.hits(model, test)
    return {
        "top1": float(right.mean()),
        "images": len(test),
        "hits": pack_hits(right.tolist()),
        "fingerprint": test.fingerprint,
    }


def measured(model: Any, test: ImageArrays) -> dict[str, Any]:
    """Accuracy and cost of an arm on the test images, in fp32.

    Args:
        model: A trained arm.
        test: Test images.
    """
    rest, blocks = block_flops(model)
    policy = model.greenadapt_policy
    own = 0 if policy is None else 2 * cifar10.macs(policy)
    table = _paths(model, test)
    flops = rest + own + table.double() @ torch.tensor(blocks, dtype=torch.float64)
    by_class = [float(table[test.labels == c].sum(1).double().mean()) for c in test.labels.unique().tolist()]
    _, counts = torch.unique(table, dim=0, return_counts=True)
    return {
        **got_right(model, test),
        "mflops": float(flops.mean()) / 1e6,
        "mflops_sd": float(flops.std(unbiased=False)) / 1e6,
        "policy_mflops": own / 1e6,
        "blocks": len(blocks),
        "kept": float(table.sum(1).double().mean()),
        "kept_sd": float(table.sum(1).double().std(unbiased=False)),
        "kept_by_block": table.double().mean(0).tolist(),
        "kept_by_class": by_class,
        "paths": len(counts),
        "commonest": float(counts.max()) / len(test),
    }


def on_commonest_path(model: Any, test: ImageArrays) -> dict[str, Any]:
    """An arm without its policy, every image on the path that the policy takes most often.

    What the policy's decisions bring is its own accuracy less this one.

    Args:
        model: A trained arm with a learned policy.
        test: Test images.
    """
    found, counts = torch.unique(_paths(model, test), dim=0, return_counts=True)
    path = tuple(bool(kept) for kept in found[counts.argmax()])
    rest, blocks = block_flops(model)
    flops = rest + sum(cost for cost, kept in zip(blocks, path, strict=True) if kept)
    return {
        **got_right(_Under(model, path), test),
        "mflops": flops / 1e6,
        "policy_mflops": 0.0,
        "blocks": len(blocks),
        "kept": sum(path),
        "paths": 1,
    }


class _Under(nn.Module):
    """A model under one path, to be counted."""

    def __init__(self, model: Any, path: tuple[bool, ...]) -> None:
        super().__init__()
        self.model, self.path = model, path

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model.forward_in(images, OnePath(self.path))
        return logits


def _paths(model: Any, test: ImageArrays) -> Tensor:
    with torch.inference_mode():
        return torch.cat([model.eval().greenadapt_paths(batch).clone() for batch, _ in test.loader(500)])

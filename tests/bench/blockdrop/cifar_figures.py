"""What the arms of the CIFAR-10 experiment cost and get right, and the table of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.adapters.execution import OnePath
from greenadapt.comparison.differences import mcnemar
from greenadapt.data import ImageArrays
from greenadapt.statistics import pack_hits
from tests.bench import cifar10

RIVAL = 32
"""Depth of the plain ResNet whose FLOPs no arm may exceed."""


def block_flops(model: Any) -> tuple[int, list[int]]:
    """FLOPs (2 x MAC) of an image: of what always runs, the policy not counted, and of each block."""
    count = model.greenadapt_blocks
    image = torch.zeros(1, 3, 32, 32)

    def cost(path: tuple[bool, ...]) -> int:
        return 2 * cifar10.macs(_Under(model, path), image)

    rest = cost((False,) * count)
    return rest, [cost(tuple(b == block for b in range(count))) - rest for block in range(count)]


def measured(model: Any, test: ImageArrays) -> dict[str, Any]:
    """Accuracy and cost on the test images, in fp32.

    Args:
        model: A trained arm.
        test: Test images.
    """
    rest, blocks = block_flops(model)
    policy = model.greenadapt_policy
    own = 0 if policy is None else 2 * cifar10.macs(policy)
    table = _paths(model, test)
    flops = rest + own + table.double() @ torch.tensor(blocks, dtype=torch.float64)
    right = cifar10.hits(model, test)
    by_class = [float(table[test.labels == c].sum(1).double().mean()) for c in test.labels.unique().tolist()]
    return {
        "top1": float(right.mean()),
        "images": len(test),
        "hits": pack_hits(right.tolist()),
        "fingerprint": test.fingerprint,
        "mflops": float(flops.mean()) / 1e6,
        "mflops_sd": float(flops.std(unbiased=False)) / 1e6,
        "policy_mflops": own / 1e6,
        "blocks": len(blocks),
        "kept": float(table.sum(1).double().mean()),
        "kept_sd": float(table.sum(1).double().std(unbiased=False)),
        "kept_by_block": table.double().mean(0).tolist(),
        "kept_by_class": by_class,
        "paths": len(torch.unique(table, dim=0)),
    }


def against(right: Any, plain: dict[int, Any]) -> dict[str, dict[str, float]]:
    """McNemar's test of a network against each plain one, on the same images.

    Args:
        right: Which images the network classifies correctly, bool [N].
        plain: The same of the plain networks, by depth.
    """
    found: dict[str, dict[str, float]] = {}
    for depth, other in plain.items():
        won, lost = int((right & ~other).sum()), int((other & ~right).sum())
        found[f"ResNet-{depth}"] = {"won": won, "lost": lost, "p_value": mcnemar(won, lost)}
    return found


def table_of(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown.

    Args:
        rows: As from `evaluate`.
    """
    lines = [
        f"| network | top-1, % | MFLOPs an image | blocks kept | paths | against ResNet-{RIVAL} |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        kept = f"{row['kept']:.2f} of {row['blocks']}" if "kept" in row else ""
        verdict = ""
        if "against" in row:
            test = row["against"][f"ResNet-{RIVAL}"]
            verdict = f"{test['won']} won, {test['lost']} lost, p = {test['p_value']:.2g}"
        lines.append(
            f"| {row['name']} | {100 * row['top1']:.2f} | {row['mflops']:.1f} | {kept} | "
            f"{row.get('paths', '')} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


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

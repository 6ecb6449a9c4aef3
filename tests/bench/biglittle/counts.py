"""Parameters and multiply-adds: of the paper's networks, beside the published code's, and of conversions."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import greenadapt
import greenadapt.zoo
from greenadapt.tables import Column, markdown_table

EXPECTED = (
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
_CONVERTED = (("resnet50", "native"), ("resnet50", "paper"), ("resnet101", "native"))
PIXELS = 224


def macs(model: nn.Module) -> int:
    """Multiply-adds of convolutions and classifier for one image of 224 px; the model is on "meta"."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, 3, PIXELS, PIXELS, device="meta"))
    return counter.get_total_flops() // 2


def cut(base: str, other: str) -> float:
    """Share of the base's multiply-adds that another of timm's networks saves."""
    with torch.device("meta"):
        return 1 - macs(timm.create_model(other)) / macs(timm.create_model(base))


def measured() -> dict[str, Any]:
    """The figures of this section."""
    table = []
    for name, alpha, beta, *expected in EXPECTED:
        with torch.device("meta"):
            model = timm.create_model(name, alpha=alpha, beta=beta)
        found = [_parameters(model), macs(model)]
        table.append({"name": name, "alpha": alpha, "beta": beta, "expected": expected, "found": found})
    return {"table": table, "converted": [_converted(*which) for which in _CONVERTED]}


def _converted(name: str, depth: str) -> dict[str, Any]:
    model = greenadapt.wrap(timm.create_model(name), "biglittle", alpha=2, beta=4, depth=depth)
    found = {"parameters": _parameters(model), "macs": macs(model.to("meta"))}
    return {"base": name, "depth": depth, **found}


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def bars(results: dict[str, Any]) -> list[list[str]]:
    """Line of the table of bars: figure, bar, found, whether it is met."""
    right = sum(row["expected"] == row["found"] for row in results["table"])
    total = len(results["table"])
    met = "met" if right == total else "**NOT met**"
    return [["parameters and MACs of the paper's networks", "every row, exact", f"{right} of {total}", met]]


def section(results: dict[str, Any]) -> str:
    """The figures as a section of Markdown."""
    heads = ("network", "alpha", "beta", "parameters", "expected", "MACs", "expected")
    columns = [Column(heads[0], "left"), *(Column(head) for head in heads[1:]), Column("exact", "left")]
    lines = []
    for row in results["table"]:
        (p, m), (wanted_p, wanted_m) = row["found"], row["expected"]
        numbers = [str(row["alpha"]), str(row["beta"]), *(f"{n:,}" for n in (p, wanted_p, m, wanted_m))]
        exact = "yes" if row["found"] == row["expected"] else "**NO**"
        lines.append([f"`{row['name']}`", *numbers, exact])
    return "\n\n".join(
        [
            "## The paper's networks",
            "Parameters, and multiply-adds of convolutions and classifier for one image of 224 px, beside "
            "what the published code counts.",
            markdown_table(columns, lines),
            'Conversions with `greenadapt.wrap(base, "biglittle", alpha=2, beta=4, depth=...)`. The native '
            "depth keeps the base's blocks, so that every weight is inherited; for ResNet-50 that is the "
            "paper's network, for deeper ones it is not.",
            _conversions(results["converted"]),
        ]
    )


def _conversions(rows: list[dict[str, Any]]) -> str:
    columns = [Column("base", "left"), Column("depth", "left"), Column("parameters"), Column("MACs")]
    cells = [[r["base"], r["depth"], f"{r['parameters']:,}", f"{r['macs']:,}"] for r in rows]
    return markdown_table(columns, cells)

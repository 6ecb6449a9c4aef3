"""Parameters and multiply-adds: of the paper's networks, beside the published code's, and of conversions."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

import greenadapt
import greenadapt.zoo
from greenadapt.counting import counting
from greenadapt.tables import Column, markdown_table
from tests.bl_reference import COUNTS

_CONVERTED = (("resnet50", "native"), ("resnet50", "paper"), ("resnet101", "native"))
PIXELS = 224


def macs(model: nn.Module) -> int:
    """Multiply-adds of convolutions and classifier for one image of 224 px; the model is on "meta"."""
    with counting(model) as counter:
        model.eval()(torch.zeros(1, 3, PIXELS, PIXELS, device="meta"))
        return counter.macs


def cut(base: str, other: str) -> float:
    """Share of the base's multiply-adds that another of timm's networks saves."""
    with torch.device("meta"):
        return 1 - macs(timm.create_model(other)) / macs(timm.create_model(base))


def measured() -> dict[str, Any]:
    """The figures of this section."""
    table = []
    for name, alpha, beta, *expected in COUNTS:
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

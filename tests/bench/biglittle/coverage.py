"""Which of timm's architectures Big-Little converts, and how much work each then saves.

    python -m tests.bench.biglittle.coverage [--out docs/results/biglittle-coverage.md] [--only resnet,sknet]

Networks are built on the meta device: no weights, no images, every shape. A network counts as converted if
it runs at its base's input size, gives as many classes, gives every parameter of its branches a gradient of
its shape in training mode, and does with at most three quarters of the base's multiply-adds at the default
options. Values are the business of the tests.

It takes a quarter of an hour. What is done is kept in out/biglittle-coverage.jsonl, and a run that was
stopped goes on from there, unless timm, torch or the code of the conversion has changed since.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from greenadapt.adapters.biglittle.adapter import adapter
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.counting import counting
from greenadapt.errors import GreenadaptError
from greenadapt.zoo.bl_stages import Branches

ROOT = Path(__file__).resolve().parents[3]
KEPT = ROOT / "out" / "biglittle-coverage.jsonl"
FAMILIES = (
    *("resnet", "res2net", "resnest", "sknet", "regnet", "resnetv2", "nfnet", "convnext"),
    *("efficientnet", "mobilenetv3", "hardcorenas"),
)
"""timm's model files with networks that the rule may fit; of every other the smallest-named one is tried."""
LEAST = 0.25
WANTED = 150


@dataclass(frozen=True)
class Row:
    """One architecture.

    Attributes:
        name: timm's.
        family: The file of timm's that it is in.
        size: Height and width of its images, px.
        gmacs: Multiply-adds of the base for one image, 1e9; None if it was not run.
        cut: Share of them that the conversion saves; None if there is none.
        why_not: Why it is not converted, or None.
    """

    name: str
    family: str
    size: int | None = None
    gmacs: float | None = None
    cut: float | None = None
    why_not: str | None = None


def row(name: str, family: str) -> Row:
    """Tries one architecture.

    Args:
        name: timm's.
        family: The file that it is in.
    """
    with torch.device("meta"):
        model: Any = timm.create_model(name).eval()
    _, size, _ = model.pretrained_cfg["input_size"]
    classes = model.num_classes
    try:
        converted: Any = adapter.wrap(model, BigLittleConfig())
    except GreenadaptError as error:
        return Row(name, family, size, _gmacs(model, size), None, error.seen.rstrip("."))
    saving = converted.greenadapt_saving
    if saving is None or saving.size != size:
        return Row(name, family, size, None, None, "its work could not be counted")
    gmacs = saving.before / 1e9
    logits = converted.train()(torch.empty(2, 3, size, size, device="meta"))
    if logits.shape[1:] != (classes,):
        return Row(
            name, family, size, gmacs, None, f"gives {tuple(logits.shape[1:])} instead of {classes} classes"
        )
    if without := _without_gradient(converted, logits):
        return Row(name, family, size, gmacs, None, f"gives {without} no gradient")
    return Row(name, family, size, gmacs, saving.share, None if saving.share >= LEAST else "saves too little")


def other_files() -> list[str]:
    """timm's model files that are not in `FAMILIES`; networks that others registered are left out."""
    first = {name: timm.list_models(module=name)[:1] for name in timm.list_modules() if name not in FAMILIES}
    return sorted(
        name
        for name, models in first.items()
        if models and timm.model_entrypoint(models[0]).__module__.startswith("timm.")
    )


def refusal(family: str) -> str | None:
    """What `greenadapt.wrap` says to the first network of one of timm's other files; None if it converts."""
    with torch.device("meta"):
        model = timm.create_model(timm.list_models(module=family)[0])
    try:
        adapter.wrap(model, BigLittleConfig())
    except GreenadaptError as error:
        return error.seen.partition("; ")[2].rstrip(".") or error.seen.rstrip(".")
    return None


@contextmanager
def plain_norms() -> Iterator[None]:
    """Makes batch norms a product and a sum: the same shapes and gradients' shapes, in a tenth of the time.

    Without numbers torch takes every norm apart in Python, which is most of what a network then costs. No
    multiply-add is counted in either.
    """

    def scaled(
        x: Tensor, mean: Any, var: Any, weight: Any = None, bias: Any = None, *_: Any, **__: Any
    ) -> Any:
        for part, how in ((weight, torch.mul), (bias, torch.add)):
            x = x if part is None else how(x, part.view(-1, *(1 for _ in x.shape[2:])))
        return x

    with patch.object(F, "batch_norm", scaled):
        yield


def _gmacs(model: nn.Module, size: int) -> float:
    with counting(model) as counter:
        model(torch.empty(1, 3, size, size, device="meta"))
        return counter.macs / 1e9


def _without_gradient(model: nn.Module, logits: Tensor) -> str | None:
    """The first parameter of a branch that the way back from the logits does not reach."""
    logits.sum().backward()
    for place, module in model.named_modules():
        if not isinstance(module, Branches):
            continue
        for name, parameter in module.named_parameters():
            if parameter.grad is None or parameter.grad.shape != parameter.shape:
                return f"{place}.{name}"
    return None


class Kept:
    """Rows of a run that was stopped.

    Args:
        file: Of JSON lines; the first says what the others were made with.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.rows: dict[str, Row] = {}
        made_with = json.dumps({"timm": timm.__version__, "torch": torch.__version__, "code": _code()})
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        if lines[:1] == [made_with]:
            self.rows = {found["name"]: Row(**found) for found in map(json.loads, lines[1:])}
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(made_with + "\n", encoding="utf-8")

    def row(self, name: str, family: str) -> Row:
        """As `row`, from the file where it is there."""
        if name not in self.rows:
            self.rows[name] = row(name, family)
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self.rows[name])) + "\n")
        return self.rows[name]


def _code() -> str:
    files = [*(ROOT / "greenadapt" / "adapters" / "biglittle").rglob("*.py"), Path(__file__)]
    files += (ROOT / "greenadapt" / "zoo").glob("bl_*.py")
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def page(rows: list[Row], others: dict[str, tuple[int, str]]) -> str:
    """The results as Markdown.

    Args:
        rows: Of the families that may convert.
        others: Number of architectures and reason, by file.
    """
    good = [r for r in rows if r.why_not is None]
    total = len(rows) + sum(count for count, _ in others.values())
    return "\n".join(
        [
            "# What Big-Little converts",
            "",
            "Made by `python -m tests.bench.biglittle.coverage`; do not edit.",
            "",
            f"**{len(good)}** of timm {timm.__version__}'s {total} architectures convert at the default "
            'options (alpha 2, beta 4, init "auto"): they run forward at the base\'s input size and give as '
            "many classes, run backward in training mode and give every parameter of their branches a "
            f"gradient, and save at least {LEAST:.0%} of the base's multiply-adds. Shapes and counts are "
            "those of the meta device; values, forward and backward, are tested on a small network of each "
            "kind of block. What accuracy a conversion costs is another question: "
            "[its figures](biglittle.md).",
            "",
            "| family | architectures | converted | MACs saved | median |",
            "| --- | ---: | ---: | ---: | ---: |",
            *_summary(rows),
            "",
            "## Every architecture",
            "",
            "| architecture | family | px | GMACs | saved | |",
            "| --- | --- | ---: | ---: | ---: | --- |",
            *(_line(r) for r in rows),
            "",
            "## Families that are refused",
            "",
            "| family | architectures | reason |",
            "| --- | ---: | --- |",
            *(f"| {family} | {count} | {why} |" for family, (count, why) in sorted(others.items())),
            "",
        ]
    )


def _summary(rows: list[Row]) -> Iterator[str]:
    by_family: dict[str, list[Row]] = defaultdict(list)
    for r in rows:
        by_family[r.family].append(r)
    for family, members in by_family.items():
        cuts = sorted(r.cut for r in members if r.why_not is None and r.cut is not None)
        span = f"{cuts[0]:.0%} to {cuts[-1]:.0%} | {cuts[len(cuts) // 2]:.0%}" if cuts else "- | -"
        yield f"| {family} | {len(members)} | {len(cuts)} | {span} |"


def _line(r: Row) -> str:
    gmacs = f"{r.gmacs:.2f}" if r.gmacs is not None else "-"
    cut = f"{r.cut:.1%}" if r.cut is not None else "-"
    return f"| {r.name} | {r.family} | {r.size or '-'} | {gmacs} | {cut} | {r.why_not or ''} |"


def main() -> None:
    """Writes the page and prints the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results/biglittle-coverage.md"))
    parser.add_argument("--only", help="Families, separated by commas; no page is written.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows, kept = [], Kept(KEPT)
    for family in given.only.split(",") if given.only else FAMILIES:
        for name in timm.list_models(module=family):
            with plain_norms():
                rows.append(kept.row(name, family))
            sys.stdout.write(_line(rows[-1]) + "\n")
            sys.stdout.flush()
    converted = sum(r.why_not is None for r in rows)
    if not given.only:
        files = other_files()
        others = {m: (len(timm.list_models(module=m)), why) for m in files if (why := refusal(m)) is not None}
        if forgotten := set(files) - set(others):
            raise SystemExit(f"These convert and should stand in FAMILIES: {', '.join(sorted(forgotten))}.")
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(page(rows, others), encoding="utf-8")
        if converted < WANTED:
            raise SystemExit(f"{converted} architectures convert; {WANTED} are wanted.")
    sys.stdout.write(f"{converted} of {len(rows)} architectures convert\n")


if __name__ == "__main__":
    main()

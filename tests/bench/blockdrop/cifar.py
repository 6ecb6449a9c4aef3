"""BlockDrop against plain depth on CIFAR-10: is it more accurate than a plain ResNet of its cost?

    python -m tests.bench.blockdrop.cifar train --arm sensitivity  and spread, random, first, blockdrop, plain
    python -m tests.bench.blockdrop.cifar train --arm begun        and sensitivity-longer
    python -m tests.bench.blockdrop.cifar evaluate                 the arms trained so far, and the plain ones
    python -m tests.bench.blockdrop --draw                         docs/results/blockdrop.md, from the files

    the network of an arm ── finetune, the ResNet-56 as teacher ──> <arm>.json, <arm>.safetensors
    all <arm>.safetensors, plain networks ── evaluate, 10,000 test images ──> comparison.json ──> the page

Every arm has the same epochs, learning rate, batches, augmentation and teacher, and a path or policy that
spends no more than a plain ResNet-32, policy included; "plain" is that ResNet-32 trained alike. Two begin
where the arm "sensitivity" has ended, and train on alike: one learns a policy, the other keeps the path.
Recipe and exploration were chosen by pilots (10,000 images, 8 epochs) on the first `cifar_rows.SEEN` test
images; the page tells the others apart. FLOPs are 2 x MAC of convolutions and linear layers. A training that
was interrupted goes on when it is started again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from greenadapt.data import ImageArrays
from greenadapt.errors import GreenadaptError
from greenadapt.finetuning import finetune
from tests.bench import cifar10
from tests.bench.blockdrop import cifar_section
from tests.bench.blockdrop.cifar_arms import DEPTH, RECIPES, Recipe, begin, fitting_keep, read, small, wrapped
from tests.bench.blockdrop.cifar_figures import got_right, measured, on_commonest_path
from tests.bench.blockdrop.cifar_rows import ALIKE, ARMS, CONTINUED, LEARNED, ONE_PATH
from tests.bench.blockdrop.record import here, recorded
from tests.bench.remembered import remembered

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / "blockdrop-cifar"
WORK = ROOT / "out" / "bench" / "blockdrop-cifar"
_WATCHED = 1000
_TOLD = ("options", "recipe", "optimizer", "objective", "teacher", "curve", "seconds", "threads")


def train(
    arm: str, recipe: Recipe, keep: float | None, results: Path, work: Path, tested: int = 10_000
) -> dict[str, Any]:
    """Trains one arm, or goes on where it stopped, and writes its figures and weights.

    Args:
        arm: One of `ARMS`.
        recipe: The recipe.
        keep: Share of the blocks; None is what fits the budget.
        results: Folder for the figures and weights.
        work: Folder for the checkpoint.
        tested: How many test images the figures are of.

    Returns:
        The figures.
    """
    teacher = remembered(cifar10.folded(cifar10.plain(DEPTH)), work / "teacher.sqlite")
    data = cifar10.first(cifar10.images("train"), recipe.images)
    test = cifar10.first(cifar10.images("test"), tested)
    thin: Any = wrapped(arm, fitting_keep(arm, data, recipe.seed) if keep is None else keep, recipe.seed)
    if arm in CONTINUED:
        begin(thin, arm, results)
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / f"{arm}.checkpoint"
    training = finetune(
        thin,
        data,
        val=cifar10.first(test, _WATCHED),
        teacher=teacher,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        seed=recipe.seed,
        precision=recipe.precision,  # type: ignore[arg-type]
        mixup=recipe.mixup,
        device="cpu",
        checkpoint=checkpoint,
        resume=checkpoint.exists(),
        meter=None,
        progress=_say,
    )
    results.mkdir(parents=True, exist_ok=True)
    save_file(small(thin.state_dict()), results / f"{arm}.safetensors")
    thin.load_state_dict(read(results / f"{arm}.safetensors"))
    figures = {
        "arm": arm,
        "options": {} if arm == ALIKE else asdict(thin.greenadapt_config),
        "recipe": asdict(recipe),
        "optimizer": training.optimizer,
        "objective": training.objective,
        "teacher": f"cifar_resnet{DEPTH}",
        "curve": training.curve,
        "seconds": round(training.seconds),
        "threads": torch.get_num_threads(),
        "processor": here()["processor"],
        **_measured(thin, test),
    }
    (results / f"{arm}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def evaluate(results: Path, tested: int = 10_000) -> dict[str, Any]:
    """Recomputes accuracy and FLOPs of every arm's committed weights and of the plain networks.

    Args:
        results: Folder with what `train` wrote; the figures are left there too.
        tested: How many test images the figures are of.

    Returns:
        What the page is drawn from: one row for each network, the plain ones first.
    """
    test = cifar10.first(cifar10.images("test"), tested)
    found = recorded(lambda: [*(_plain(depth, test) for depth in cifar10.DEPTHS), *_arms(results, test)])
    trained = [row for row in found["rows"] if "recipe" in row]
    full = tested == len(cifar10.images("test"))
    told = {
        "schema": "greenadapt/bench-blockdrop-cifar",
        "quick": not full or any(row["recipe"]["images"] < Recipe.images for row in trained),
        "trainings": [
            {key: row[key] for key in ("name", "seconds", "threads", "processor")} for row in trained
        ],
        **found,
    }
    results.mkdir(parents=True, exist_ok=True)
    text = json.dumps(told, indent=1, ensure_ascii=False)
    (results / "comparison.json").write_text(text + "\n", encoding="utf-8")
    return told


def _plain(depth: int, test: ImageArrays) -> dict[str, Any]:
    return {"name": f"ResNet-{depth}", **_measured(cifar10.plain(depth), test)}


def _measured(model: nn.Module, test: ImageArrays) -> dict[str, Any]:
    if hasattr(model, "greenadapt_config"):
        return measured(model, test)
    return {**got_right(model, test), "mflops": 2 * cifar10.macs(model) / 1e6}


def _arms(results: Path, test: ImageArrays) -> Iterator[dict[str, Any]]:
    """A row for each arm that has weights; one more for a learned policy that takes several paths."""
    files = {arm: (results / f"{arm}.safetensors", results / f"{arm}.json") for arm in ARMS}
    there = [arm for arm, pair in files.items() if all(file.exists() for file in pair)]
    chosen = next((arm for arm in LEARNED if arm in there), None)
    for arm in there:
        file, told = files[arm]
        written = json.loads(told.read_text(encoding="utf-8"))
        model: Any = wrapped(arm, written["options"].get("keep", 1.0), written["recipe"]["seed"])
        model.load_state_dict(read(file))
        row = {
            "name": arm,
            **{key: written[key] for key in _TOLD},
            "processor": written.get("processor"),
            "written_top1": written["top1"],
            **_measured(model.eval(), test),
        }
        yield row
        if arm == chosen and row["paths"] > 1:
            yield {"name": ONE_PATH, **on_commonest_path(model, test)}


def _say(message: str, fraction: float) -> None:
    if not message.endswith("…"):
        sys.stdout.write(message + "\n")
        sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Runs as a command; returns the exit code."""
    given = _parser().parse_args(argv)
    torch.set_num_threads(given.threads)
    try:
        if given.command == "evaluate":
            found = evaluate(given.results, given.test_images)
            sys.stdout.write(cifar_section.drawn(found["rows"]) + "\n")
            return 0
        own = {field.name: getattr(given, field.name) for field in fields(Recipe)}
        recipe = replace(RECIPES[given.arm], **{name: it for name, it in own.items() if it is not None})
        figures = train(given.arm, recipe, given.keep, given.results, given.work, given.test_images)
    except GreenadaptError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    told = f"{given.arm}: {100 * figures['top1']:.2f} % at {figures['mflops']:.1f} MFLOPs"
    if "kept" in figures:
        told += f", {figures['kept']:.2f} of {figures['blocks']} blocks, {figures['paths']} paths"
    sys.stdout.write(told + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.blockdrop.cifar", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="train one arm, or go on where it stopped")
    training.add_argument("--arm", choices=ARMS, required=True)
    training.add_argument(
        "--keep", type=float, help="share of the blocks; what fits ResNet-32's FLOPs if left out"
    )
    for field in fields(Recipe):
        name, kind = field.name.replace("_", "-"), type(field.default)
        training.add_argument(f"--{name}", type=kind, help="the arm's own if left out")
    training.add_argument("--work", type=Path, default=WORK)
    for command in (training, commands.add_parser("evaluate", help="figures of all networks")):
        command.add_argument("--test-images", type=int, default=10_000, help="test images of the figures")
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--results", type=Path, default=RESULTS)
    return parser


if __name__ == "__main__":
    sys.exit(main())

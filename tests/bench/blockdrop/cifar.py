"""BlockDrop against plain depth on CIFAR-10: is it more accurate than a plain ResNet of its cost?

    python -m tests.bench.blockdrop.cifar train --arm sensitivity  and spread, random, first, blockdrop
    python -m tests.bench.blockdrop.cifar train --arm begun        and sensitivity-longer
    python -m tests.bench.blockdrop.cifar evaluate                 the arms trained so far, and the plain ones
    python -m tests.bench.blockdrop --draw                         docs/results/blockdrop.md, from the files

    ResNet-56 with its published weights ── wrap(arm) ─┬─ finetune, the ResNet-56 as teacher ──> <arm>.json
    sensitivity.safetensors, for the two begun by it ──┘                                   <arm>.safetensors
    all <arm>.safetensors, plain networks ── evaluate, 10,000 test images ──> comparison.json ──> the page

Every arm has the same epochs, learning rate, batches, augmentation and teacher, and a path or policy that
spends no more than a plain ResNet-32, policy included. Two begin where the arm "sensitivity" has ended, and
train on alike: one learns a policy, the other keeps the path. Recipe and exploration were chosen by pilots
(10,000 images, 8 epochs) on the first `cifar_rows.SEEN` test images; the page tells the others apart. FLOPs
are 2 x MAC of convolutions and linear layers. A training that was interrupted goes on when started again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import greenadapt
from greenadapt.adapters.blockdrop.beginning import begin_from
from greenadapt.adapters.blockdrop.fixed import find_best_path, fixed_path
from greenadapt.data import ImageArrays
from greenadapt.errors import GreenadaptError, ModelError
from greenadapt.finetuning import finetune
from tests.bench import cifar10
from tests.bench.blockdrop import cifar_section
from tests.bench.blockdrop.cifar_figures import block_flops, got_right, measured, on_commonest_path
from tests.bench.blockdrop.cifar_rows import (
    ARMS,
    BEGUN,
    BEST_PATH,
    CONTINUED,
    JOINT,
    LEARNED,
    LONGER,
    ONE_PATH,
    RIVAL,
)
from tests.bench.blockdrop.record import here, recorded
from tests.bench.remembered import remembered

DEPTH = 56
ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / "blockdrop-cifar"
WORK = ROOT / "out" / "bench" / "blockdrop-cifar"
_WATCHED = 1000
_TOLD = ("options", "recipe", "optimizer", "objective", "teacher", "curve", "seconds", "threads")
_SEARCHED = 128
_OPTIONS: dict[str, dict[str, Any]] = {
    JOINT: {"policy": "learned", "objective": "gumbel", "policy_net": "cifar_resnet8", "policy_downscale": 2},
    BEGUN: {
        "policy": "learned",
        "objective": "counterfactual",
        "policy_net": "cifar_resnet8",
        "policy_downscale": 4,
    },
    LONGER: {"policy": "sensitivity"},
}
_KEEP = {JOINT: 0.515, BEGUN: 0.54, LONGER: 15 / 27}
"""What a policy costs is known after training. With stages that keep their first block, 13.9 of 27 blocks and
6.1 MFLOPs for the policy are 133.5, and 14.6 blocks and 1.5 are 135.4, of ResNet-32's 137.7."""


@dataclass(frozen=True)
class Recipe:
    """What all arms have in common.

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


_RECIPES = {arm: Recipe(epochs=10, learning_rate=0.01) if arm in CONTINUED else Recipe() for arm in ARMS}


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
    thin = wrapped(arm, fitting_keep(arm, data, recipe.seed) if keep is None else keep, recipe.seed)
    if arm in CONTINUED:
        _begin(thin, arm, results)
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
    save_file(_small(thin.state_dict()), results / f"{arm}.safetensors")
    options = asdict(thin.greenadapt_config)  # type: ignore[call-overload]
    thin.load_state_dict(_read(results / f"{arm}.safetensors"))
    figures = {
        "arm": arm,
        "options": options,
        "recipe": asdict(recipe),
        "optimizer": training.optimizer,
        "objective": training.objective,
        "teacher": f"cifar_resnet{DEPTH}",
        "curve": training.curve,
        "seconds": round(training.seconds),
        "threads": torch.get_num_threads(),
        "processor": here()["processor"],
        **measured(thin, test),
    }
    (results / f"{arm}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def wrapped(arm: str, keep: float, seed: int) -> nn.Module:
    """The ResNet-56 with its published weights under the policy of an arm."""
    torch.manual_seed(seed)
    options = _OPTIONS.get(arm, {"policy": arm})
    return greenadapt.wrap(cifar10.plain(DEPTH), "blockdrop", keep=keep, seed=seed, **options)


def _begin(thin: nn.Module, arm: str, results: Path) -> None:
    """Has an arm begin where `BEST_PATH` has ended."""
    file = results / f"{BEST_PATH}.safetensors"
    if not file.exists():
        raise ModelError(
            f"The arm {arm!r} cannot begin.",
            f"It goes on from {file}, which is not there.",
            f"Train that one first: train --arm {BEST_PATH}",
        )
    ended = _read(file)
    fixed = wrapped(BEST_PATH, float(ended["greenadapt_path"].float().mean()), 0)
    fixed.load_state_dict(ended)
    if arm == BEGUN:
        begin_from(thin, fixed)
    else:
        thin.load_state_dict(fixed.state_dict())


def fitting_keep(arm: str, data: ImageArrays, seed: int) -> float:
    """The largest share of the blocks that costs no more than the plain rival, ResNet-32.

    Args:
        arm: One of `ARMS`. Those of `_KEEP` have a share of their own.
        data: Training images, for the arm whose path is found on them.
        seed: Of the random path.
    """
    if arm in _KEEP:
        return _KEEP[arm]
    model: Any = wrapped("spread", 0.5, seed)
    rest, blocks = block_flops(model)
    limit, count = 2 * cifar10.macs(cifar10.plain(RIVAL)), len(blocks)
    paths: list[tuple[bool, ...]] = []
    if arm == BEST_PATH:
        least = next(n for n in range(count, 0, -1) if rest + n * max(blocks) <= limit)
        images = torch.stack([data[i][0] for i in range(min(_SEARCHED, len(data)))])
        dropped = find_best_path(model, images, least / count, adapted=True).dropped
        paths = [tuple(b not in dropped[:n] for b in range(count)) for n in range(len(dropped) + 1)]
    else:
        paths = [fixed_path(arm, count, n / count, seed) for n in range(count, 0, -1)]
    costs = [rest + sum(f for f, kept in zip(blocks, path, strict=True) if kept) for path in paths]
    fits = next(path for path, cost in zip(paths, costs, strict=True) if cost <= limit)
    return sum(fits) / count


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
    model = cifar10.plain(depth)
    return {
        "name": f"ResNet-{depth}",
        **got_right(model, test),
        "mflops": 2 * cifar10.macs(model) / 1e6,
    }


def _arms(results: Path, test: ImageArrays) -> Iterator[dict[str, Any]]:
    """A row for each arm that has weights; one more for a learned policy that takes several paths."""
    files = {arm: (results / f"{arm}.safetensors", results / f"{arm}.json") for arm in ARMS}
    there = [arm for arm, pair in files.items() if all(file.exists() for file in pair)]
    chosen = next((arm for arm in LEARNED if arm in there), None)
    for arm in there:
        file, told = files[arm]
        written = json.loads(told.read_text(encoding="utf-8"))
        model: Any = wrapped(arm, written["options"]["keep"], written["options"]["seed"])
        model.load_state_dict(_read(file))
        row = {
            "name": arm,
            **{key: written[key] for key in _TOLD},
            "processor": written.get("processor"),
            "written_top1": written["top1"],
            **measured(model.eval(), test),
        }
        yield row
        if arm == chosen and row["paths"] > 1:
            yield {"name": ONE_PATH, **on_commonest_path(model, test)}


def _small(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of two and more dimensions in half precision; norms and biases keep theirs."""
    return {
        name: (value.half() if value.is_floating_point() and value.ndim > 1 else value).contiguous()
        for name, value in state.items()
    }


def _read(file: Path) -> dict[str, Tensor]:
    return {
        name: value.float() if value.ndim > 1 and value.is_floating_point() else value
        for name, value in load_file(file).items()
    }


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
        recipe = replace(_RECIPES[given.arm], **{name: it for name, it in own.items() if it is not None})
        figures = train(given.arm, recipe, given.keep, given.results, given.work, given.test_images)
    except GreenadaptError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(
        f"{given.arm}: {100 * figures['top1']:.2f} % at {figures['mflops']:.1f} MFLOPs, "
        f"{figures['kept']:.2f} of {figures['blocks']} blocks, {figures['paths']} paths\n"
    )
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

"""ResNet-56 on CIFAR-10, converted, against the plain ResNets with published weights; and from scratch.

    python -m tests.bench.biglittle.cifar train --arm converted    30 epochs; again: goes on where it stopped
    python -m tests.bench.biglittle.cifar import --arm converted --from FILE.ckpt
    python -m tests.bench.biglittle.cifar evaluate   all networks on 10,000 test images; prints the section
    python -m tests.bench.biglittle.cifar draw       the section again, from the file

All arms have the same budget and the same teacher, ResNet-56. Two are the same network and differ in where
they start; the third is the plain rival, ResNet-32, trained on from its published weights: it tells how much
of a lead over the published rival the training gave, and not the conversion. They see the batches that the
arms of `tests.bench.blockdrop.cifar` see, and share what the teacher said of them. What is published is
evaluated from the file that is published: convolutions in half precision.

    docs/results/biglittle-cifar/ARM.safetensors    weights; in the metadata recipe, curve and seconds
    docs/results/biglittle-cifar.json               what every network got right
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import greenadapt
from tests.bench import cifar10
from tests.bench.biglittle import cifar_section
from tests.bench.blockdrop import cifar as blockdrop
from tests.bench.figures import say
from tests.bench.paired import quality
from tests.bench.remembered import remembered

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / "biglittle-cifar.json"
WEIGHTS = RESULTS.with_suffix("")
WORK = ROOT / "out" / "bench-biglittle"
INITS = {"converted": "l1", "scratch": "random"}
"""Where a conversion starts: from the trained base, its little branch cut out of it; or all at random."""
ARMS = (*INITS, cifar_section.RIVAL)
OPTIONS = {"alpha": 4, "beta": 4}
RECIPE: dict[str, Any] = {
    "epochs": 30,
    "batch_size": 128,
    "learning_rate": 0.05,
    "mixup": 1.0,
    "seed": 0,
    "precision": "bf16",
}
_WATCHED = 1000
DEPTH = 56
_RIVAL_DEPTH = 32
section = cifar_section.section


def untrained(arm: str) -> nn.Module:
    """The network of an arm before its first step.

    Args:
        arm: One of `ARMS`.
    """
    if arm == cifar_section.RIVAL:
        return cifar10.plain(_RIVAL_DEPTH)
    base = cifar10.plain(DEPTH)
    torch.manual_seed(RECIPE["seed"])
    if arm == "scratch":
        base = greenadapt.open_model(
            f"cifar_resnet{DEPTH}", pretrained=False, shortcut="subsample", num_classes=10
        )
    return greenadapt.wrap(base, "biglittle", **OPTIONS, init=INITS[arm])


def train(arm: str, checkpoint: Path) -> None:
    """Trains an arm, or goes on with its training, and publishes its weights.

    Args:
        arm: One of `ARMS`.
        checkpoint: Written after every epoch; where it exists, the training goes on from it.
    """
    thin = untrained(arm)
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    done = greenadapt.finetune(
        thin,
        cifar10.images("train"),
        val=cifar10.first(cifar10.images("test"), _WATCHED),
        teacher=remembered(cifar10.folded(cifar10.plain(DEPTH)), blockdrop.WORK / "teacher.sqlite"),
        meter=None,
        checkpoint=checkpoint,
        resume=checkpoint.exists(),
        progress=say,
        **RECIPE,
    )
    write(arm, thin.state_dict(), done.curve, done.seconds)


def bring(arm: str, source: Path, folder: Path = WEIGHTS) -> Path:
    """Publishes the weights of a training that ran elsewhere, whole or as far as it came.

    Args:
        arm: One of `ARMS`.
        source: A checkpoint of `train`, or the bare weights of its end (.pt), then with its checkpoint
            (.ckpt) beside it.
        folder: Where to.

    Raises:
        SystemExit: There is no checkpoint, or it is of another recipe.
    """
    record = source.with_suffix(".ckpt")
    if not record.is_file():
        raise SystemExit(f"{record} is needed too: it tells which training this was.")
    state = torch.load(record, map_location="cpu", weights_only=True)
    settings = json.loads(state["settings"])
    options = {**OPTIONS, "depth": "native", "init": INITS[arm]} if arm in INITS else {}
    asked = {**RECIPE, "options": options}
    other = {name: settings.get(name) for name, value in asked.items() if settings.get(name) != value}
    if other:
        raise SystemExit(f"{record} is of another recipe: {other}")
    tensors = state["model"]
    if source != record:
        tensors = torch.load(source, map_location="cpu", weights_only=True)
    return write(arm, tensors, json.loads(state["curve"]), state["seconds"], folder)


def write(
    arm: str,
    tensors: dict[str, Tensor],
    curve: list[dict[str, float]],
    seconds: float,
    folder: Path = WEIGHTS,
) -> Path:
    """Writes the weights as they are published: convolutions in half precision, norms as they are.

    Args:
        arm: One of `ARMS`.
        tensors: The network's.
        curve: Figures of each epoch.
        seconds: How long the training took.
        folder: Where to.
    """
    halved = {
        name: (tensor.half() if tensor.ndim > 1 else tensor).contiguous() for name, tensor in tensors.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{arm}.safetensors"
    told = {"curve": json.dumps(curve), "seconds": str(round(seconds)), "recipe": json.dumps(RECIPE)}
    save_file(halved, file, told)
    return file


def read(arm: str, folder: Path = WEIGHTS) -> tuple[nn.Module, dict[str, Any]]:
    """The network of an arm as published, in fp32 and eval mode, and what its training tells.

    Args:
        arm: One of `ARMS`.
        folder: Where its weights are.
    """
    file = folder / f"{arm}.safetensors"
    with safe_open(file, "pt") as opened:
        told = opened.metadata()
    model = untrained(arm)
    model.load_state_dict({name: _single(tensor) for name, tensor in load_file(file).items()})
    recipe = json.loads(told.get("recipe", "null"))
    return model.eval(), {
        "curve": json.loads(told["curve"]),
        "seconds": int(told["seconds"]),
        "recipe": recipe,
    }


def evaluate() -> dict[str, Any]:
    """Evaluates the published arms and the plain networks on all test images, and writes the file."""
    data = cifar10.images("test")
    networks: dict[str, Any] = {}
    for depth in cifar10.DEPTHS:
        networks[f"resnet{depth}"] = _figures(cifar10.plain(depth), data)
    for arm in ARMS:
        if not (WEIGHTS / f"{arm}.safetensors").is_file():
            say(f"{arm}: no weights yet", 0.0)
            continue
        model, told = read(arm)
        if told.pop("recipe") != RECIPE:
            say(f"{arm}: its weights are of another recipe; train it again", 0.0)
            continue
        networks[arm] = {**_figures(model, data), **told}
    results = {
        "recipe": {**RECIPE, **OPTIONS, "init": INITS, "base": f"resnet{DEPTH}", "teacher": f"resnet{DEPTH}"},
        "torch": torch.__version__,
        "networks": networks,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return results


def _figures(model: nn.Module, data: Any) -> dict[str, Any]:
    hits = cifar10.hits(model, data)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": cifar10.macs(model),
        "quality": quality(hits.tolist(), f"{data.name} ({data.split})", data.fingerprint),
    }


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def main() -> None:
    """Does the one step that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    training = steps.add_parser("train")
    training.add_argument("--arm", choices=ARMS, required=True)
    training.add_argument("--checkpoint", type=Path)
    training.add_argument("--threads", type=int, default=1)
    importing = steps.add_parser("import")
    importing.add_argument("--arm", choices=ARMS, required=True)
    importing.add_argument("--from", dest="source", type=Path, required=True)
    steps.add_parser("evaluate")
    steps.add_parser("draw")
    asked = parser.parse_args()
    if asked.step == "train":
        torch.set_num_threads(asked.threads)
        train(asked.arm, asked.checkpoint or WORK / f"cifar-{asked.arm}.ckpt")
    elif asked.step == "import":
        bring(asked.arm, asked.source)
    else:
        drawn = evaluate() if asked.step == "evaluate" else json.loads(RESULTS.read_text(encoding="utf-8"))
        sys.stdout.write(section(drawn))


if __name__ == "__main__":
    main()

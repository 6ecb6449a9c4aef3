"""BlockDrop on an EfficientNet-Lite0 with its ImageNet weights, for somebody who has 1,000 labelled photos.

    500 to train on ─┬─ without labels ── best fixed path ──┬── as it is ───────────┐
                     └─ with labels, the base as teacher ───┼── the path, trained ──┼── top-1 of the 500 held
                                                            └── a learned policy ───┘   out, FLOPs, time

    python -m tests.bench.blockdrop.photos           measures what is not in the file yet; prints the section
    python -m tests.bench.blockdrop.photos --draw    the section alone, from the file

Everything in `SETTINGS` was fixed before any held-out photo was looked at, and nothing is chosen by them.
FLOPs are 2 x multiply-adds. Photos and weights: see `tests.bench.photos`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import greenadapt
from greenadapt import storage
from greenadapt.adapters.blockdrop.fixed import find_best_path
from greenadapt.adapters.blockdrop.payback import payback
from greenadapt.adapters.execution import OnePath, under
from greenadapt.data import ImageFiles
from tests.bench import cifar10
from tests.bench.blockdrop import record
from tests.bench.blockdrop.photos_section import FILE, drawn
from tests.bench.figures import say
from tests.bench.photos import SIZE, compared, efficientnet_lite0, evaluated, photos

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / FILE
SETTINGS: dict[str, Any] = {
    "dropped": [1, 2, 3, 4, 6],
    "trained": [2, 4],
    "learned": 4,
    "policy_net": "policy_resnet6",
    "policy_downscale": 4,
    "searched": 100,
    "epochs": 4,
    "batch_size": 25,
    "learning_rate": 0.005,
    "teacher_share": 1.0,
    "freeze_norms": True,
    "seed": 0,
    "size": SIZE,
    "rounds": 100,
}
_PAPERS = {"policy_net": "policy_resnet10", "policy_downscale": 2}
_SMALL = {name: SETTINGS[name] for name in _PAPERS}
_RECIPE = ("epochs", "batch_size", "learning_rate", "teacher_share", "freeze_norms", "seed")


@dataclass(frozen=True)
class Arm:
    """One network that is measured.

    Attributes:
        kind: "fixed" is the best fixed path, "learned" a policy that aims for as many blocks.
        dropped: Blocks to drop.
        trained: Whether it is distilled on the photos to train on.
    """

    kind: str
    dropped: int
    trained: bool

    @property
    def name(self) -> str:
        """What the file calls it."""
        return f"{self.kind} {self.dropped}{', distilled' * self.trained}"


ARMS = (
    *(Arm("fixed", count, False) for count in SETTINGS["dropped"]),
    *(Arm("fixed", count, True) for count in SETTINGS["trained"]),
    Arm("learned", SETTINGS["learned"], True),
)


def base_row(base: nn.Module, plain: ImageFiles, held_out: ImageFiles) -> dict[str, Any]:
    """What the base gets right, and the order in which its blocks go, found without labels.

    Args:
        base: Trained.
        plain: The photos to train on, as they are.
        held_out: What every accuracy is of.
    """
    began, batch = time.process_time(), SETTINGS["batch_size"]
    found: Any = greenadapt.wrap(base, "blockdrop", policy="sensitivity", keep=0.5)
    blocks = found.greenadapt_blocks
    least = 1 - max(SETTINGS["dropped"]) / blocks
    seen = islice(plain.loader(batch), SETTINGS["searched"] // batch)
    best = find_best_path(found, seen, least)
    names = [block.name for block in found.greenadapt_found if block.droppable]
    classes = [set(half.labels.tolist()) for half in (plain, held_out)]
    return {
        "name": "base",
        "blocks": names,
        "residual": len(found.greenadapt_found),
        "classes": len(classes[1]),
        "classes_not_trained_on": len(classes[1] - classes[0]),
        "dropped_in_order": list(best.dropped),
        "divergence": list(best.divergence),
        "macs": cifar10.macs(base, torch.zeros(1, 3, SIZE, SIZE)),
        "quality": evaluated(base, held_out, batch),
        "cpu_seconds": round(time.process_time() - began),
    }


def policy_row(base: nn.Module, options: Mapping[str, Any], images: Sequence[Tensor]) -> dict[str, Any]:
    """What a policy's network costs beside the whole base, and when a dry run says that it has paid.

    Args:
        base: Trained.
        options: "policy_net" and "policy_downscale".
        images: As `tests.bench.photos.compared` wants them.
    """
    began = time.process_time()
    thin: Any = greenadapt.wrap(base, "blockdrop", **options)
    told = payback(thin)
    return {
        "name": _policy_name(options),
        "macs": told.parts.policy_macs,
        "blocks_macs": [block.saved_macs for block in told.parts.blocks],
        # The dry run's own times are of the wall's clock, and worth nothing where others use the machine.
        "blocks_to_pay": told.blocks_to_pay_flops,
        "dearest_to_pay": told.blocks_to_pay_flops_at_least,
        "rounds": compared(base, thin.greenadapt_policy, images),
        "cpu_seconds": round(time.process_time() - began),
    }


def wrapped(arm: Arm, base: nn.Module, order: Sequence[int], blocks: int) -> Any:
    """The base under the policy of an arm, not trained.

    Args:
        arm: Which.
        base: Trained; left as it is.
        order: Blocks in the order in which they go from a fixed path.
        blocks: How many can be dropped.
    """
    torch.manual_seed(SETTINGS["seed"])
    keep = 1 - arm.dropped / blocks
    if arm.kind == "learned":
        return greenadapt.wrap(base, "blockdrop", keep=keep, objective="gumbel", **_SMALL)
    thin: Any = greenadapt.wrap(base, "blockdrop", keep=keep, policy="spread")
    thin.set_path([block not in order[: arm.dropped] for block in range(blocks)])
    return thin


def measured(
    arm: Arm, base: nn.Module, rows: Sequence[Mapping[str, Any]], train: ImageFiles, held_out: ImageFiles
) -> dict[str, Any]:
    """The row of an arm, trained first if it is to be.

    Args:
        arm: Which.
        base: Trained; the teacher.
        rows: What was measured before, the row of the base first.
        train: Photos to train on.
        held_out: What the accuracy is of, and what the time is measured on.
    """
    began, curve = time.process_time(), None
    thin = wrapped(arm, base, rows[0]["dropped_in_order"], len(rows[0]["blocks"]))
    if arm.trained:
        recipe = {name: SETTINGS[name] for name in _RECIPE}
        curve = greenadapt.finetune(thin, train, teacher=base, meter=None, progress=say, **recipe).curve
    table = _table(thin, held_out)
    return {
        "name": arm.name,
        "kind": arm.kind,
        "trained": arm.trained,
        "dropped": float((~table).sum(1).double().mean()),
        "dropped_by_block": (~table).double().mean(0).tolist(),
        "paths": len(torch.unique(table, dim=0)),
        "macs": _macs(thin, table),
        "quality": evaluated(thin, held_out, SETTINGS["batch_size"]),
        "rounds": compared(base, thin, _images(held_out)),
        "curve": curve,
        "cpu_seconds": round(time.process_time() - began),
    }


def _policy_name(options: Mapping[str, Any]) -> str:
    return f"policy {options['policy_net']} / {options['policy_downscale']}"


def _images(held_out: ImageFiles) -> list[Tensor]:
    """One for every round and one for warming up, [1, 3, H, W]."""
    return [image for image, _ in islice(held_out.loader(1), SETTINGS["rounds"] + 1)]


def _table(thin: Any, held_out: ImageFiles) -> Tensor:
    """Which blocks each photo runs: bool, [N, K]."""
    thin.eval()
    with torch.inference_mode():
        loader = held_out.loader(SETTINGS["batch_size"])
        return torch.cat([thin.greenadapt_paths(images).clone() for images, _ in loader])


def _macs(thin: Any, table: Tensor) -> float:
    """Multiply-adds of an image, the mean over a table of paths, policy included."""
    image, total = torch.zeros(1, 3, SIZE, SIZE), 0
    for path, count in zip(*torch.unique(table, dim=0, return_counts=True), strict=True):
        with under(OnePath(tuple(path.tolist()))):
            total += int(count) * cifar10.macs(thin, image)
    policy = thin.greenadapt_policy
    return total / len(table) + (0 if policy is None else cifar10.macs(policy, image))


def run() -> dict[str, Any]:
    """Measures every row that the file lacks, and writes the file after each.

    Raises:
        SystemExit: The file is of other settings.
    """
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if results and results["settings"] != SETTINGS:
        raise SystemExit(f"{RESULTS.name} was made under other settings; remove it first.")
    if not results:
        made = record.recorded(list)
        results = {**made, "settings": SETTINGS, "seed": SETTINGS["seed"], "quick": False, "seconds": 0}
    base = efficientnet_lite0()
    (train, held_out), (plain, _) = photos(), photos(augment=False)
    images = _images(held_out)
    work: dict[str, Callable[[], dict[str, Any]]] = {"base": partial(base_row, base, plain, held_out)}
    for options in (_PAPERS, _SMALL):
        work[_policy_name(options)] = partial(policy_row, base, options, images)
    for arm in ARMS:
        work[arm.name] = partial(measured, arm, base, results["rows"], train, held_out)
    done = {row["name"] for row in results["rows"]}
    for name, measure in work.items():
        if name not in done:
            results["rows"].append(measure())
            results["seconds"] += results["rows"][-1]["cpu_seconds"]
            storage.write_text(RESULTS, json.dumps(results, indent=1) + "\n")
            say(f"{name}: {results['rows'][-1]['cpu_seconds']} s", 0)
    return results


def main() -> None:
    """Measures what is lacking, and prints the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", action="store_true", help="no measurement")
    only_drawn = parser.parse_args().draw
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if only_drawn else run()
    sys.stdout.write(drawn(results["rows"]) + "\n")


if __name__ == "__main__":
    main()

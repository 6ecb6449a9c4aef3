"""Which start of the little branch wins a conversion's accuracy back fastest, measured on CIFAR-10.

    ResNet-20 ── converted ── norms re-estimated ──> top-1
                                    └── 3 short epochs with the base as teacher ──> top-1 after each

    python -m tests.bench.biglittle.inits           all runs that are not in the file yet, then the section
    python -m tests.bench.biglittle.inits --draw    the section alone, to stdout

Everything but ``init`` and the seed is the same in every run. It is short: it tells which start is ahead
after a few hundred steps, not which one ends highest after a whole training. The images that decide are 5,000
of the test set's; `tests.bench.biglittle.cifar` had its start fixed before.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import greenadapt
from greenadapt.adapters.biglittle.objective import BigLittleObjective
from greenadapt.finetuning.loop import evaluate
from greenadapt.statistics import interval

RESULTS = Path(__file__).resolve().parents[3] / "docs" / "results" / "biglittle-inits.json"
INITS = ("zero", "l1", "random")
SEEDS = (0, 1, 2)
SETTINGS: dict[str, Any] = {
    "network": "cifar_resnet20",
    "alpha": 2,
    "beta": 4,
    "train_images": 10_000,
    "val_images": 5_000,
    "epochs": 3,
    "batch_size": 128,
    "learning_rate": 0.05,
    "precision": "bf16",
}
_DEPTH = 20


def measured(init: str, seed: int, base: Callable[[], nn.Module], train: Any, val: Any) -> dict[str, Any]:
    """One run.

    Args:
        init: How the new branches start.
        seed: Of the new weights, the order of the images and their augmentation.
        base: Gives the trained network, each time anew.
        train: Training images.
        val: The images that decide.
    """
    teacher = base()
    torch.manual_seed(seed)
    thin = greenadapt.wrap(teacher, "biglittle", alpha=SETTINGS["alpha"], beta=SETTINGS["beta"], init=init)
    began = time.process_time()
    BigLittleObjective(thin).prepare(train.loader(SETTINGS["batch_size"], shuffle=True, seed=seed))
    loader = val.loader(250)
    training = {name: SETTINGS[name] for name in ("epochs", "batch_size", "learning_rate", "precision")}
    first = evaluate(thin, loader)
    done = greenadapt.finetune(thin, train, val=val, teacher=teacher, seed=seed, meter=None, **training)
    return {
        "init": init,
        "seed": seed,
        "reestimated": first,
        "curve": [epoch["val_top1"] for epoch in done.curve],
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def run(
    base: Callable[[], nn.Module], train: Any, val: Any, out: Path = RESULTS, seeds: tuple[int, ...] = SEEDS
) -> dict[str, Any]:
    """Adds to the file what it lacks, a run at a time, so that it may be interrupted.

    Args:
        base: Gives the trained network, each time anew.
        train: Training images.
        val: The images that decide.
        out: The file.
        seeds: One run of every start for each.

    Raises:
        SystemExit: The file is of other settings.
    """
    found = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    if found and found["settings"] != SETTINGS:
        raise SystemExit(f"{out.name} was made under other settings; remove it first.")
    results = found or {"settings": SETTINGS, "torch": torch.__version__, "runs": []}
    results["base"] = evaluate(base(), val.loader(250))
    has = {(each["init"], each["seed"]) for each in results["runs"]}
    for seed in seeds:
        for init in INITS:
            if (init, seed) in has:
                continue
            results["runs"].append(measured(init, seed, base, train, val))
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            sys.stderr.write(f"{results['runs'][-1]}\n")
    return results


def best(results: dict[str, Any]) -> str:
    """The start with the highest top-1, averaged over the points after re-estimation and over the seeds."""
    return max(INITS, key=lambda init: _mean(_scores(results, init)))


def section(results: dict[str, Any]) -> str:
    """The figures as a section of Markdown.

    Args:
        results: What `run` gave, or its file's content.
    """
    told = results["settings"]
    points = ["norms re-estimated", *(f"epoch {i + 1}" for i in range(told["epochs"]))]
    lines = [
        "## How the little branch starts",
        "",
        f"{told['network']} with trained weights ({results['base']:.2%} on the images that decide), alpha "
        f"{told['alpha']}, beta {told['beta']}, {told['train_images']:,} training images of CIFAR-10, "
        f"{told['epochs']} epochs, batches of {told['batch_size']}, learning rate {told['learning_rate']}, "
        f"{told['precision']}, the base as teacher, {len(_seeds(results))} seed(s). Top-1 on "
        f"{told['val_images']:,} test images, mean over the seeds. A short training: it tells which start is "
        "ahead early, and nothing about the end of a long one.",
        "",
        f"| init | {' | '.join(points)} | mean after re-estimation |",
        f"| --- | {' | '.join('---:' for _ in points)} | ---: |",
        *(_row(results, init) for init in INITS),
        "",
        *_verdict(results),
        "",
    ]
    return "\n".join(lines)


def _row(results: dict[str, Any], init: str) -> str:
    runs = _runs(results, init)
    columns = zip(*([each["reestimated"], *each["curve"]] for each in runs), strict=True)
    cells = [f"{_mean(list(column)):.2%}" for column in columns]
    return f"| {init} | {' | '.join(cells)} | {_mean(_scores(results, init)):.2%} |"


def _verdict(results: dict[str, Any]) -> list[str]:
    first = best(results)
    if len(_seeds(results)) < 2:
        return [f"**{first}** is ahead with the one seed that was run, which tells little."]
    lines, clearly = [], True
    for other in INITS:
        if other != first:
            pairs = zip(_scores(results, first), _scores(results, other), strict=True)
            found = interval([a - b for a, b in pairs])
            clearly &= found.low > 0
            clear = "" if found.low > 0 else "; no measurable difference"
            lines.append(
                f"- {other}: {found.mean * 100:+.2f} points ({found.low * 100:+.2f} to "
                f"{found.high * 100:+.2f}){clear}"
            )
    told = (
        "recovers fastest"
        if clearly
        else "has the highest mean, which is not measurably ahead of every other"
    )
    return [f"**{first}** {told}. Its lead, paired by seed (95 % interval):", "", *lines]


def _scores(results: dict[str, Any], init: str) -> list[float]:
    """Mean top-1 over the epochs, for each seed in order."""
    return [_mean(each["curve"]) for each in _runs(results, init)]


def _runs(results: dict[str, Any], init: str) -> list[dict[str, Any]]:
    """Those of the seeds that every start has run with, in their order."""
    seeds = _seeds(results)
    runs = [each for each in results["runs"] if each["init"] == init and each["seed"] in seeds]
    return sorted(runs, key=lambda each: int(each["seed"]))


def _seeds(results: dict[str, Any]) -> set[int]:
    return set.intersection(
        *({each["seed"] for each in results["runs"] if each["init"] == init} for init in INITS)
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    """Runs what is lacking, and prints the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", action="store_true", help="no measurement")
    if parser.parse_args().draw:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    else:
        from tests.bench import cifar10

        torch.set_num_threads(1)
        train = cifar10.first(cifar10.images("train"), SETTINGS["train_images"])
        val = cifar10.first(cifar10.images("test"), SETTINGS["val_images"])
        results = run(lambda: cifar10.plain(_DEPTH), train, val)
    sys.stdout.write(section(results))


if __name__ == "__main__":
    main()

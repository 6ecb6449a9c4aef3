"""CIFAR-10, the published ResNets for it, and what they cost: shared by the experiments of this folder.

    images("train")  50,000 images, shifted and mirrored     plain(56)    ResNet-56 with published weights
    images("test")   10,000 images, as they are              hits, macs   what a network gets right, and costs

The data and the weights lie in ``shared/data`` beside the checkout and are no part of the project. Without
them `available` is false, and everything else raises a `DataError` that says where they are looked for.

Source of the weights: Idelbayev, "Proper ResNet implementation for CIFAR10", BSD-2; shortcuts subsample.
"""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import greenadapt
from greenadapt.counting import counting
from greenadapt.data import ImageArrays, View
from greenadapt.errors import DataError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEPTHS = (20, 32, 44, 56)
"""Depths of the plain ResNets that have published weights."""
_DATA = Path(__file__).parents[3] / "shared" / "data"
_TILES = 100
_SIZE = 32


def available() -> bool:
    """Whether data and weights are there."""
    return (_DATA / "cifar10").is_dir() and (_DATA / "weights").is_dir()


def images(split: str) -> ImageArrays:
    """The images of a split, normalised as the published weights want them.

    Args:
        split: "train", with shifts and mirroring, or "test".

    Raises:
        DataError: The data are not there.
    """
    pixels, labels = _read(split)
    view = View(mean=MEAN, std=STD, augment=split == "train")
    return ImageArrays(pixels, labels, name="cifar10", split=split, classes=10, view=view)


def first(data: ImageArrays, count: int) -> ImageArrays:
    """The first images of `data`; they are in no order of classes."""
    return ImageArrays(
        data.pixels[:count],
        data.labels[:count],
        name=data.name,
        split=data.split,
        classes=data.classes,
        view=data.view,
    )


def plain(depth: int) -> nn.Module:
    """The plain ResNet of a depth of `DEPTHS` with its published weights, in eval mode.

    Raises:
        DataError: The weights are not there.
    """
    found = sorted((_DATA / "weights").glob(f"resnet{depth}-*.th"))
    if not found:
        raise _absent(f"weights/resnet{depth}-*.th")
    model = greenadapt.open_model(
        f"cifar_resnet{depth}", pretrained=False, shortcut="subsample", num_classes=10
    )
    published = torch.load(found[0], map_location="cpu", weights_only=True)["state_dict"]
    named = {
        name.removeprefix("module.").replace("linear.", "fc."): value for name, value in published.items()
    }
    model.load_state_dict(named)
    recipe: Any = model.greenadapt_recipe
    trained = recipe.base.model_copy(update={"weights": "trained"})
    model.greenadapt_recipe = recipe.model_copy(update={"base": trained})  # type: ignore[assignment]
    return model.eval()


def folded(model: nn.Module) -> nn.Module:
    """A copy with every batch norm folded into the convolution before it: a cheaper teacher, the same logits.

    Args:
        model: A network of `plain`.
    """
    twin = copy.deepcopy(model).eval()
    for module in list(twin.modules()):
        for number in (1, 2):
            conv, norm = getattr(module, f"conv{number}", None), getattr(module, f"bn{number}", None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, f"conv{number}", fuse_conv_bn_eval(conv, norm))
                setattr(module, f"bn{number}", nn.Identity())
    return twin


def hits(model: nn.Module, data: ImageArrays, batch_size: int = 500) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which images a network classifies correctly, bool [N], in fp32, eval mode and the data's order."""
    model.eval()
    device = next(model.parameters()).device
    found = []
    with torch.inference_mode():
        for batch, labels in data.loader(batch_size):
            logits = model(batch.to(device, memory_format=torch.channels_last))
            found.append(logits.argmax(1).cpu() == labels)
    return torch.cat(found).numpy()


def macs(model: nn.Module, inputs: Tensor | None = None) -> int:
    """Multiply-adds of convolutions and linear layers, for one image unless `inputs` are given.

    Args:
        model: A network.
        inputs: [B, 3, H, W]; None is one image of 32 px. Twice the number are FLOPs as BlockDrop counts.
    """
    given = torch.zeros(1, 3, _SIZE, _SIZE) if inputs is None else inputs
    with counting(model) as counter:
        model.eval()(given)
        return counter.macs


@cache
def _read(split: str) -> tuple[Tensor, Tensor]:
    folder = _DATA / "cifar10"
    shards = [f"train{i}" for i in range(5)] if split == "train" else ["test"]
    if not (folder / "cifar10_labels.npz").is_file():
        raise _absent("cifar10/cifar10_labels.npz")
    labels = np.load(folder / "cifar10_labels.npz")
    pixels = torch.cat([_tiles(folder / f"cifar10_{shard}.webp") for shard in shards])
    return pixels, torch.from_numpy(np.concatenate([labels[shard] for shard in shards])).long()


def _tiles(mosaic: Path) -> Tensor:
    from PIL import Image

    if not mosaic.is_file():
        raise _absent(f"cifar10/{mosaic.name}")
    picture = np.asarray(Image.open(mosaic).convert("RGB"))
    grid = picture.reshape(_TILES, _SIZE, _TILES, _SIZE, 3).transpose(0, 2, 4, 1, 3)
    return torch.from_numpy(grid.reshape(-1, 3, _SIZE, _SIZE).copy())


def _absent(name: str) -> DataError:
    return DataError(
        "CIFAR-10 and the published weights are not here.",
        f"shared/data/{name} is looked for in {_DATA.parent.parent}.",
        "Put the folder shared/data beside the checkout.",
    )

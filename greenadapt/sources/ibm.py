"""``ibm:``: a checkpoint of the authors' Big-Little networks, as a file on this disk.

    ibm:ImageNet-bLResNet-50-a2-b4.pth.tar ── names translated ── recognised ── bl_resnet50, alpha=2, beta=4

Which of `greenadapt.zoo`'s networks it is, and its alpha, beta and number of classes, are told from the
tensors, not from the file's name. What is opened this way is a network of timm's like any other: saved, it
needs the checkpoint no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from greenadapt.errors import ModelError, did_you_mean
from greenadapt.recipe import Base
from greenadapt.sources.building import build, first_few, misfit
from greenadapt.sources.checkpoints import read_tensors
from greenadapt.zoo.bl_blocks import STEM_WIDTH, BigLittleShape, little_depth
from greenadapt.zoo.bl_names import translated
from greenadapt.zoo.bl_resnet import BL_SHAPES

if TYPE_CHECKING:
    from torch import nn

_TELLING = {
    "conv1.weight": 4,
    "maxpool.little.0.weight": 4,
    "layer1.0.big.0.conv2.weight": 4,
    "fc.weight": 2,
}
"""Tensors that tell which network it is, and how many axes they have."""
_COLOURS = 3
_SPLIT_STAGES = ("layer1", "layer2", "layer3")
_BETAS = (1, 2, 4, 3, *range(5, 33))
"""Those of the paper first: several betas may make the same network."""


class IbmSource:
    """Checkpoints of the Big-Little authors; a `greenadapt.interfaces.ModelSource`."""

    def names(self, pattern: str = "*") -> list[str]:
        """Nothing: the disk is not searched."""
        return []

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Builds the network of a checkpoint, in eval mode.

        Args:
            name: The file: what the authors' training script wrote, with or without ``module.`` in its names.
            pretrained: Load its weights; False builds the same network with random ones.
            model_args: Keyword arguments for the network; another ``num_classes`` gives it a fresh
                classifier, another ``in_chans`` a first convolution that timm adapts.

        Returns:
            The network; what builds it again without the file is in its attribute ``greenadapt_base``.

        Raises:
            ModelError: No such file, it cannot be read, or it is none of these networks, whole.
            OptionError: The network does not take these arguments.
        """
        file = _existing(Path(name).expanduser())
        tensors = translated(read_tensors(file, f"ibm:{file.name}"))
        _check_numbers(tensors, file.name)
        network, args = recognised(tensors, file.name)
        model = build(network, None, {**args, **model_args}, f"ibm:{file.name}")
        if pretrained:
            _fill(model, tensors, file.name, f"{network} with alpha={args['alpha']} and beta={args['beta']}")
        model.greenadapt_base = Base(  # type: ignore[assignment]
            name=network,
            model_args={**args, **model_args},
            weights="pretrained" if pretrained else "random",
        )
        return model


def recognised(tensors: Mapping[str, Tensor], file: str) -> tuple[str, dict[str, Any]]:
    """Which network these tensors belong to.

    Args:
        tensors: Under our names.
        file: What to call them in an error.

    Returns:
        Its name in timm, and the arguments that build it: alpha, beta, num_classes, in_chans.

    Raises:
        ModelError: None of those that there are.
    """
    lacking = [name for name in _TELLING if name not in tensors]
    if lacking:
        raise _none_of_them(
            file, f"It holds {first_few(tensors)}, but no {first_few(lacking)}.{_hint(tensors)}"
        )
    for name, rank in _TELLING.items():
        if tensors[name].ndim != rank:
            found = tuple(tensors[name].shape)
            raise _none_of_them(file, f"{name} has the shape {found}, not one of {rank} axes.")
    shape = _shape(tensors)
    network = next((name for name, each in BL_SHAPES.items() if each == shape), None)
    if network is None:
        raise _none_of_them(file, f"Found: {_in_words(shape)}.")
    alpha = STEM_WIDTH // max(1, tensors["maxpool.little.0.weight"].shape[0])
    little = [_blocks(tensors, f"{stage}.0.little.") for stage in _SPLIT_STAGES]
    beta = next((b for b in _BETAS if little == [little_depth(n, b) for n in shape.layers[:3]]), None)
    if beta is None:
        raise _none_of_them(file, f"{network} with little branches of {_joined(little)} blocks.")
    classes, channels = tensors["fc.weight"].shape[0], tensors["conv1.weight"].shape[1]
    return network, {"alpha": alpha, "beta": beta, "num_classes": classes, "in_chans": channels}


def _check_numbers(tensors: Mapping[str, Tensor], file: str) -> None:
    for name, tensor in tensors.items():
        counts = name.endswith("num_batches_tracked")
        if tensor.layout != torch.strided or tensor.is_meta or not (counts or tensor.is_floating_point()):
            what = f"of type {tensor.dtype}" if tensor.layout == torch.strided else f"{tensor.layout}"
            seen = f"{name} is {'without numbers' if tensor.is_meta else what}."
        elif tensor.numel() > tensor.untyped_storage().nbytes() // tensor.element_size():
            seen = f"{name} repeats what the file holds once."
        elif not counts and not tensor.isfinite().all():
            seen = f"{name} holds values that are no finite numbers."
        else:
            continue
        raise ModelError(
            f"{file} holds no weights that could be used.", seen, "Take it from where it came from again."
        )


def _hint(tensors: Mapping[str, Tensor]) -> str:
    if any(name.startswith("layer1.0.conv") for name in tensors):
        return " It looks like a plain ResNet: open that with timm, and wrap it with the adapter biglittle."
    if any(".big." in name for name in tensors):
        return " It looks like a converted network: load the folder that it was saved in."
    return ""


def _shape(tensors: Mapping[str, Tensor]) -> BigLittleShape:
    conv = tensors["layer1.0.big.0.conv2.weight"]
    # The last block of each split stage is its fusion, which stands beside the branches.
    blocks = [_blocks(tensors, f"{stage}.0.big.") + 1 for stage in _SPLIT_STAGES]
    first, second, third = blocks
    layers = (first, second, third, _blocks(tensors, "layer4."))
    squeeze = any(".se." in name for name in tensors)
    return BigLittleShape(layers, conv.shape[0] // max(1, conv.shape[1]), conv.shape[1], squeeze)


def _blocks(tensors: Mapping[str, Tensor], prefix: str) -> int:
    numbers = [re.match(rf"{re.escape(prefix)}(\d+)\.", name) for name in tensors]
    return max((int(found[1]) + 1 for found in numbers if found), default=0)


def _fill(model: Any, tensors: dict[str, Tensor], file: str, network: str) -> None:
    from timm.models import adapt_input_conv

    channels = model.conv1.in_channels
    if channels != tensors["conv1.weight"].shape[1] == _COLOURS:
        tensors["conv1.weight"] = adapt_input_conv(channels, tensors["conv1.weight"])
    if model.num_classes != tensors["fc.weight"].shape[0]:
        own = {f"fc.{name}": tensor for name, tensor in model.fc.state_dict().items()}
        tensors = {name: t for name, t in tensors.items() if not name.startswith("fc.")} | own
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise misfit(
            f"ibm:{file}",
            error,
            f"It was taken for {network}. Take it from where it came from again, and leave out model "
            "arguments that change the network's shape.",
        ) from error


def _none_of_them(file: str, seen: str) -> ModelError:
    known: dict[tuple[int, ...], list[str]] = {}
    for name, shape in BL_SHAPES.items():
        known.setdefault(shape.layers, []).append(name)
    listed = "; ".join(f"{_joined(layers)} blocks: {', '.join(names)}" for layers, names in known.items())
    return ModelError(
        f"{file} is no checkpoint of a Big-Little network that greenadapt knows.",
        seen,
        f"Known are {listed}.",
    )


def _in_words(shape: BigLittleShape) -> str:
    blocks = f"{_joined(shape.layers)} blocks"
    groups = f", {shape.cardinality}x{shape.base_width}d" if shape.cardinality > 1 else ""
    return f"{blocks}{groups}{', squeeze-and-excitation' if shape.squeeze else ''}"


def _joined(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, numbers))


def _existing(file: Path) -> Path:
    if file.is_file():
        return file
    siblings = [path.name for path in file.parent.iterdir()] if file.parent.is_dir() else []
    seen = "It is a folder." if file.is_dir() else "There is nothing of that name."
    raise ModelError(
        f"There is no checkpoint {file}.",
        seen,
        did_you_mean(file.name, siblings)
        or "Name a file downloaded from https://github.com/IBM/BigLittleNet.",
    )


source = IbmSource()

"""Builds the network of a policy: any of timm's, at the size of the image that the policy sees.

    the image it sees ─┬─ as it is ────────── networks that take any size
                       ├─ built for it ────── transformers and others of a fixed size, by timm's img_size
                       └─ resized ─────────── to the least size above it that works, or the network's own

The first way that works is taken, found out by running two empty images through the network. Its classifier
has one output a block, no weights and an open bias, and the same run shows that every block is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.counting import counting
from greenadapt.errors import OptionError, did_you_mean

OPEN_LOGIT = 1.0
"""Logit of every block before training: sigmoid(1) = 0.73, all kept, and still within reach of a change."""
_PROBES = 2
_ODD = (9, 5)
"""Added to a size, to tell whether a network takes any."""
_SIZE_STEPS = (32, 28)
"""Sizes that most patches and strides divide: 4, 8, 16 and 32; 7 and 14."""
_LARGEST_TRIED = 256

Size = tuple[int, int]


@dataclass(frozen=True)
class Way:
    """How a network takes the image.

    Attributes:
        arguments: What timm builds it with, beside classes and channels.
        resize_to: Height and width it is given the image in; None where it takes any.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    resize_to: Size | None = None


@dataclass(frozen=True)
class Built:
    """A network that keeps every block.

    Attributes:
        net: Gives logits [B, K].
        way: How it takes the image.
        macs: Multiply-accumulates of an image (convolutions and matrix products).
    """

    net: nn.Module
    way: Way
    macs: int


def build(name: str, blocks: int, channels: int, seen: Size) -> Built:
    """Builds a network with random weights that gives one logit for each block.

    Args:
        name: timm's, with or without a pretrained tag.
        blocks: K.
        channels: Of the image.
        seen: Height and width of the image that the policy sees.

    Raises:
        OptionError: timm does not know the network, it cannot run on such an image, or its classes cannot
            be set.
    """
    import timm

    _check_known(name)
    nets: dict[str, nn.Module] = {}
    reasons = []
    for way in _ways(name, seen):
        key = str(way.arguments)
        try:
            if key not in nets:
                nets[key] = timm.create_model(name, num_classes=blocks, in_chans=channels, **way.arguments)
                open_head(nets[key], blocks)
            return Built(nets[key], way, _tried(name, nets[key], blocks, channels, way, seen))
        except OptionError:
            raise
        except Exception as error:  # timm's networks refuse a size each in their own way
            reasons.append(f"{_words(way, seen)}: {_first_sentence(error)}")
    raise OptionError(
        "The policy's network cannot run on what the policy sees.",
        f"policy_net={name!r}, {reasons[0]}.",
        "Use a network for any size, such as 'resnet10t', or another policy_downscale.",
    )


def open_head(net: nn.Module, blocks: int) -> None:
    """Makes every logit of a network `OPEN_LOGIT`, whatever the image.

    Args:
        net: timm's, with a classifier of `blocks` outputs.
        blocks: K.
    """
    for head in _heads(net):
        layers = [m for m in head.modules() if _outputs(m) == blocks]
        for layer in layers[-1:]:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
            if layer.bias is None:
                layer.bias = nn.Parameter(torch.empty_like(layer.weight[:, 0].flatten()[:blocks]))
            nn.init.constant_(layer.bias, OPEN_LOGIT)  # type: ignore[arg-type]


def _check_known(name: str) -> None:
    import timm

    import greenadapt.zoo  # noqa: F401  registers the paper's policy networks

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        raise OptionError(
            "The policy's network is not known.",
            f"policy_net={name!r}",
            did_you_mean(architecture, timm.list_models()) or "Use a timm name, such as 'resnet10t'.",
        )
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    default = timm.get_pretrained_cfg(architecture)
    if tag and tag not in tags and (default is None or tag != default.tag):
        raise OptionError(
            "The weights for the policy's network are not known.",
            f"policy_net={name!r}; tags of {architecture} are: {', '.join(tags) or 'none'}.",
            did_you_mean(tag, tags) or f"Leave the tag out: policy_net={architecture}",
        )


def _ways(name: str, seen: Size) -> Iterator[Way]:
    import timm

    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.fixed_input_size:
        yield Way()
        yield Way({}, seen)
        least = -(-max(seen) // _SIZE_STEPS[0]) * _SIZE_STEPS[0]
        yield from (Way({}, (size, size)) for size in range(least, _LARGEST_TRIED + 1, _SIZE_STEPS[0]))
    yield Way({"img_size": seen}, seen)
    for step in _SIZE_STEPS:
        rounded = (-(-seen[0] // step) * step, -(-seen[1] // step) * step)
        yield Way({"img_size": rounded}, rounded)
    if cfg is not None:
        yield Way({}, (cfg.input_size[1], cfg.input_size[2]))


def _tried(name: str, net: nn.Module, blocks: int, channels: int, way: Way, seen: Size) -> int:
    """Runs a network in this way; returns the multiply-accumulates of an image."""
    size = way.resize_to or seen
    _check_patches(net, size)
    training = net.training
    with counting(net.eval()) as counter:
        logits: Any = net(torch.zeros(_PROBES, channels, *size))
        macs = counter.macs // _PROBES
        if way.resize_to is None:
            net(torch.zeros(1, channels, size[0] + _ODD[0], size[1] + _ODD[1]))
    net.train(training)
    _check_open(name, blocks, logits)
    return macs


def _check_patches(net: Any, size: Size) -> None:
    """Refuses, as timm does elsewhere, a size whose border would be left out of every patch."""
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
    if isinstance(patch, (tuple, list)) and any(s % p for s, p in zip(size, patch, strict=False)):
        raise ValueError(f"patches of {patch[0]} px do not divide it")


def _check_open(name: str, blocks: int, logits: Any) -> None:
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else None
    happened = "The classes of the policy's network cannot be set."
    todo = "Use a classifier of timm's, such as 'resnet10t'."
    if shape != (_PROBES, blocks):
        gives = type(logits).__name__ if shape is None else f"a tensor {shape}"
        raise OptionError(
            happened,
            f"policy_net={name!r} gives {gives} for {_PROBES} images, not {blocks} logits each.",
            todo,
        )
    # Tensors on the meta device have a shape, and nothing to look at.
    if not logits.is_meta and not bool((logits - OPEN_LOGIT).abs().max() < 1e-3):
        raise OptionError(
            happened,
            f"The logits of policy_net={name!r} depend on more than the classifier timm names.",
            todo,
        )


def _heads(net: Any) -> list[nn.Module]:
    head = net.get_classifier() if hasattr(net, "get_classifier") else nn.Identity()
    # Distilled networks have two classifiers and give the mean of their logits.
    return [h for h in (head if isinstance(head, (tuple, list)) else [head]) if isinstance(h, nn.Module)]


def _outputs(layer: nn.Module) -> int | None:
    if isinstance(layer, nn.Linear):
        return layer.out_features
    return layer.out_channels if isinstance(layer, nn.Conv2d) else None


def _words(way: Way, seen: Size) -> str:
    height, width = way.resize_to or seen
    return f"built for {height}x{width} px" if way.arguments else f"on {height}x{width} px"


def _first_sentence(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".")

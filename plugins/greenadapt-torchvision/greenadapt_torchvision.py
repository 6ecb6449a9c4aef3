"""A plugin for greenadapt: torchvision's classifiers, as ``torchvision:resnet50.IMAGENET1K_V2``.

The hook below costs nothing; torchvision is imported when the first network is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from greenadapt import hookimpl
from greenadapt.errors import ModelError, OptionError, did_you_mean
from greenadapt.interfaces import Provider
from greenadapt.sources.network import check_downloadable, offline_error

if TYPE_CHECKING:
    from torch import nn
    from torchvision.models import WeightsEnum

DEFAULT_TAG = "DEFAULT"


@hookimpl
def greenadapt_model_sources() -> list[Provider]:
    """One source: ``torchvision:``."""
    return [Provider("torchvision", "torchvision's classifiers", "greenadapt_torchvision:source")]


class TorchvisionSource:
    """torchvision's classifiers; a `greenadapt.interfaces.ModelSource`."""

    def names(self, pattern: str = "*") -> list[str]:
        """Classifiers that match, or names with weights where the pattern has a dot."""
        import torchvision

        networks: list[str] = torchvision.models.list_models(module=torchvision.models)
        if "." in pattern:
            networks = [f"{name}.{tag}" for name in networks for tag in _tags(name)]
        return [name for name in networks if fnmatch(name, pattern)]

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Builds the network, in eval mode.

        Args:
            name: torchvision's name, with a name of weights after a dot if not the default is meant.
            pretrained: Load those weights; False leaves them random.
            model_args: torchvision's keyword arguments. With pretrained weights, another ``num_classes``
                makes the last layer new.

        Returns:
            The network, with ``num_classes`` and a ``pretrained_cfg`` in timm's terms.

        Raises:
            ModelError: No such network or weights, or they cannot be downloaded.
            OptionError: The network does not take these arguments.
        """
        weights = self._weights(name)
        arguments = dict(model_args)
        if pretrained:
            check_downloadable(weights.url, f"torchvision:{name}")
            classes = arguments.pop("num_classes", None)
            model = _built(name, weights, arguments)
            if classes not in (None, len(weights.meta["categories"])):
                _renew_classifier(model, classes)
        else:
            model = _built(name, None, arguments)
        _describe(model, name, weights)
        return model.eval()

    def _weights(self, name: str) -> WeightsEnum:
        from torchvision.models import get_model_weights

        network, _, tag = name.partition(".")
        known = self.names()
        if network not in known:
            raise ModelError(
                f"There is no model {network!r} in torchvision.",
                f"torchvision has {len(known)} classifiers.",
                did_you_mean(network, known) or "List them with: greenadapt models list --source torchvision",
            )
        tags = _tags(network)
        if tag and tag not in (*tags, DEFAULT_TAG):
            raise ModelError(
                f"torchvision has no weights {tag!r} for {network}.",
                f"It has: {', '.join(tags)}.",
                did_you_mean(tag, tags) or f"Choose one of those, or leave them out: {network}",
            )
        weights: WeightsEnum = get_model_weights(network)[tag or DEFAULT_TAG]
        return weights


def _tags(network: str) -> list[str]:
    from torchvision.models import get_model_weights

    return [weights.name for weights in get_model_weights(network)]


def _built(name: str, weights: WeightsEnum | None, arguments: dict[str, Any]) -> nn.Module:
    from torchvision.models import get_model

    if weights is None and name.partition(".")[0] in ("googlenet", "inception_v3"):
        arguments.setdefault("init_weights", False)  # what torchvision warns will be its default
    try:
        model: nn.Module = get_model(name.partition(".")[0], weights=weights, **arguments)
    except OSError as error:
        raise offline_error(f"torchvision:{name}", f"{error}.") from error
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) or "none"
        raise OptionError(
            f"torchvision:{name} cannot be built with these model arguments.",
            f"Given: {given}. {error}",
            "Pass only arguments that torchvision's network takes, such as num_classes.",
        ) from error
    return model


def _classifier(model: nn.Module) -> str:
    """Name of the layer that gives the logits: the last with weights that is linear or a convolution."""
    from torch import nn

    layers = [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return str(layers[-1])


def _renew_classifier(model: nn.Module, classes: int) -> None:
    from torch import nn

    name = _classifier(model)
    old = model.get_submodule(name)
    new: nn.Module
    if isinstance(old, nn.Conv2d):
        new = nn.Conv2d(old.in_channels, classes, old.kernel_size, old.stride, bias=old.bias is not None)  # type: ignore[arg-type]
    else:
        assert isinstance(old, nn.Linear)
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None)
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)
    if hasattr(model, "num_classes"):
        model.num_classes = classes  # type: ignore[assignment]


def _describe(model: nn.Module, name: str, weights: WeightsEnum) -> None:
    from torch import nn

    preset = weights.transforms()
    size = getattr(model, "image_size", preset.crop_size[0])  # some weights ask for another size than usual
    classifier = _classifier(model)
    layer = model.get_submodule(classifier)
    classes = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    first = next(found for found, module in model.named_modules() if isinstance(module, nn.Conv2d))
    model.num_classes = classes  # type: ignore[assignment]
    model.pretrained_cfg = {  # type: ignore[assignment]
        "source": "torchvision",
        "architecture": name.partition(".")[0],
        "tag": weights.name,
        "input_size": (3, size, size),
        "interpolation": preset.interpolation.value,
        "crop_pct": preset.crop_size[0] / preset.resize_size[0],
        "mean": tuple(preset.mean),
        "std": tuple(preset.std),
        "num_classes": len(weights.meta["categories"]),
        "first_conv": first,
        "classifier": classifier,
        "pool_size": None,
    }


source = TorchvisionSource()

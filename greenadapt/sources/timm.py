"""``timm:``, the default source: timm's networks by name and tag, and those of `greenadapt.zoo`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
from timm.models import PretrainedCfg, get_pretrained_cfg

from greenadapt.errors import ModelError, did_you_mean
from greenadapt.sources.building import WEIGHT_FILES, build, first_few
from greenadapt.sources.hub import fetch
from greenadapt.sources.network import check_downloadable, offline_error

if TYPE_CHECKING:
    from torch import Tensor, nn


class TimmSource:
    """Networks that timm can create by name; a `greenadapt.interfaces.ModelSource`."""

    def names(self, pattern: str = "*") -> list[str]:
        """Architectures that match, or names with a pretrained tag where the pattern has a dot."""
        found: list[str] = timm.list_models(pattern, pretrained="." in pattern)
        return found

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Builds the network, in eval mode.

        Args:
            name: Architecture, with the pretrained tag after a dot if not the first one is meant.
            pretrained: Load the published weights; False leaves them random.
            model_args: Keyword arguments of the architecture.

        Raises:
            ModelError: No such architecture or tag, or its weights cannot be had.
            OptionError: The architecture does not take these arguments.
        """
        _check_no_file(name)
        cfg = _checked_cfg(name)
        return build(name, _weights(name, cfg) if pretrained else None, model_args, name)


def _check_no_file(name: str) -> None:
    if Path(name).is_file():
        raise ModelError(
            f"There is no model {name!r} in timm.",
            "It is a file.",
            f"A checkpoint of the Big-Little authors opens as ibm:{name}; other weights belong into a folder "
            "with timm's config.json, which opens as local-dir:FOLDER.",
        )


def check_architecture(name: str) -> None:
    """Makes sure that timm knows an architecture, its name given without a tag.

    Raises:
        ModelError: It does not.
    """
    if timm.is_model(name):
        return
    if any(character in name for character in "/\\:"):
        raise ModelError(
            f"There is no model {name!r} in timm.",
            "It looks like a repository on the Hub or a folder.",
            f"Open hf-hub:{name} for the one, local-dir:{name} for the other.",
        )
    known = timm.list_models()
    raise ModelError(
        f"There is no model {name!r} in timm {timm.__version__}.",
        f"It knows {len(known)} networks, those of greenadapt.zoo among them.",
        did_you_mean(name, known) or "List them with: greenadapt models list",
    )


def _checked_cfg(name: str) -> PretrainedCfg:
    architecture, _, tag = name.partition(".")
    check_architecture(architecture)
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    default = get_pretrained_cfg(architecture) or PretrainedCfg()
    if not tag or tag == default.tag:
        return default
    if tag not in tags:
        raise ModelError(
            f"{architecture} has no pretrained tag {tag!r}.",
            f"Its tags are: {', '.join(tags)}." if tags else "It has none: timm has no weights for it.",
            did_you_mean(tag, tags) or f"Choose one of those, or leave the tag out: {architecture}",
        )
    return get_pretrained_cfg(name) or default


def _weights(name: str, cfg: PretrainedCfg) -> Path | dict[str, Tensor]:
    if cfg.hf_hub_id:
        repository, _, revision = cfg.hf_hub_id.partition("@")
        files = [cfg.hf_hub_filename] if cfg.hf_hub_filename else WEIGHT_FILES
        return fetch(repository, files, revision or None, name)
    if cfg.url:
        return _from_address(str(cfg.url), name)
    raise ModelError(
        f"There are no pretrained weights for {name}.",
        _weights_elsewhere(name, cfg),
        "Pass --no-pretrained (pretrained=False) for random weights.",
    )


def _from_address(url: str, name: str) -> dict[str, Tensor]:
    import torch

    check_downloadable(url, name)
    try:
        state: dict[str, Tensor] = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", weights_only=True
        )
    except OSError as error:
        raise offline_error(name, f"{url}: {error}.") from error
    return state


def _weights_elsewhere(name: str, cfg: PretrainedCfg) -> str:
    if cfg.notes:
        return " ".join(cfg.notes)
    siblings = timm.list_pretrained(f"{name.partition('.')[0]}*")
    return f"Published are: {first_few(siblings)}." if siblings else "timm names no place to get any from."


source = TimmSource()

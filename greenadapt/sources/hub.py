"""``hf-hub:``: networks on the Hugging Face Hub, in timm's format or saved by greenadapt.

``hf-hub:owner/name``, or ``hf-hub:owner/name@revision`` for one commit, branch or tag. Files that were
fetched once open without a network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenadapt.errors import ModelError
from greenadapt.sources.network import offline_error, why_unreachable
from greenadapt.storage import RECIPE_FILE, TIMM_FILE, WEIGHTS_FILE

if TYPE_CHECKING:
    from torch import nn


class HubSource:
    """Repositories on the Hub; a `greenadapt.interfaces.ModelSource` and `FolderSource`."""

    def names(self, pattern: str = "*") -> list[str]:
        """Nothing: the Hub is not listed."""
        return []

    def resolve_folder(self, name: str) -> Path | None:
        """A local copy of a repository that greenadapt published, None for one in timm's format.

        Raises:
            ModelError: No such repository, or it cannot be had.
        """
        label, (repository, revision) = f"hf-hub:{name}", _split(name)
        recipe = _get(repository, [RECIPE_FILE], revision, label)[0]
        if recipe is None:
            return None
        # From the same commit, whatever is published in between.
        return fetch(repository, [WEIGHTS_FILE], recipe.parent.name, label).parent

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Builds a network published in timm's format; see `greenadapt.sources.folder`.

        Raises:
            ModelError: No such repository, or it cannot be had, or it holds no network.
            OptionError: The network does not take these arguments.
        """
        from greenadapt.sources.building import WEIGHT_FILES
        from greenadapt.sources.folder import open_timm_folder

        label, (repository, revision) = f"hf-hub:{name}", _split(name)
        config = fetch(repository, [TIMM_FILE], revision, label)
        weights = fetch(repository, WEIGHT_FILES, config.parent.name, label) if pretrained else None
        model = open_timm_folder(config.parent, weights, model_args, label)
        model.pretrained_cfg.update(hf_hub_id=name, source="hf-hub")  # type: ignore[operator,union-attr]
        return model


def fetch(repository: str, files: Sequence[str], revision: str | None, label: str) -> Path:
    """Gets a file from the Hub, or from the cache where the Hub does not answer.

    Args:
        repository: "owner/name".
        files: Names of which the first that is there will do.
        revision: Commit, branch or tag; None for the main branch.
        label: How to name the network in an error.

    Returns:
        Where it is in the cache; its folder bears the name of the commit.

    Raises:
        ModelError: It cannot be had; within seconds where the Hub does not answer.
    """
    found, offline = _get(repository, files, revision, label)
    if found is not None:
        return found
    if offline is not None:
        raise offline_error(label, f"{offline} The cache of huggingface_hub does not hold them either.")
    raise ModelError(
        f"{label} cannot be opened.",
        f"{repository} holds no {' and no '.join(files)}.",
        "Name a repository with a network in timm's format, or one published by greenadapt.",
    )


def why_offline() -> str | None:
    """None if the Hub answers, else one sentence; takes seconds at most."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set."
    return why_unreachable(constants.ENDPOINT)


def first_line(error: BaseException) -> str:
    """The first line of a library's message that says anything."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _split(name: str) -> tuple[str, str | None]:
    repository, _, revision = name.partition("@")
    return repository, revision or None


def _get(
    repository: str, files: Sequence[str], revision: str | None, label: str
) -> tuple[Path | None, str | None]:
    """The first of the files that is to be had, and why the Hub was not asked if it was not."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError
    from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

    offline = why_offline()
    for file in files:
        try:
            kept = hf_hub_download(
                repository,
                file,
                revision=revision,
                local_files_only=offline is not None,
            )
            return Path(kept), offline
        except FileNotFoundError as error:  # not in the cache, and the Hub was not asked or fell silent
            offline = (
                offline
                or f"{constants.ENDPOINT} did not hand it over: {first_line(error.__cause__ or error)}"
            )
        except EntryNotFoundError:
            continue
        except (TransportError, HFValidationError, OSError) as error:
            raise _refused(repository, revision, label, error) from error
    return None, offline


def _refused(repository: str, revision: str | None, label: str, error: Exception) -> ModelError:
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    happened = f"{label} cannot be opened."
    if isinstance(error, GatedRepoError):
        return ModelError(
            happened,
            f"{repository} asks its users to accept its terms.",
            "Accept them on its page, then log in with: hf auth login",
        )
    if isinstance(error, RepositoryNotFoundError):
        return ModelError(
            happened,
            f"The Hub shows no repository {repository!r}.",
            "Check owner and name; for a private one, log in with: hf auth login",
        )
    if isinstance(error, RevisionNotFoundError):
        return ModelError(
            happened,
            f"{repository} has no revision {revision!r}.",
            "Name a commit, branch or tag that it has.",
        )
    if isinstance(error, HFValidationError):
        return ModelError(happened, first_line(error), "Write owner/name, or owner/name@revision.")
    return ModelError(happened, first_line(error), "Try again later, or see what the Hub's status page says.")


source = HubSource()

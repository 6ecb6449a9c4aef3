"""``hf-hub:owner/name``: the whole folder goes to the Hugging Face Hub as a model repository.

`greenadapt.open_model("hf-hub:owner/name")` opens it from there. Without greenadapt it does not load as
the full-cost network; see `greenadapt.storage`.
"""

from __future__ import annotations

import re
from pathlib import Path

from greenadapt.errors import OptionError, StorageError
from greenadapt.publishers.rules import publishable_profile
from greenadapt.sources.hub import first_line, why_offline
from greenadapt.storage import CARD_FILE, PROFILE_FILE, RECIPE_FILE, TIMM_FILE, WEIGHTS_FILE, read_recipe

_FILES = (WEIGHTS_FILE, RECIPE_FILE, PROFILE_FILE, CARD_FILE, TIMM_FILE)


class HubPublisher:
    """Model repositories on the Hub; a `greenadapt.interfaces.Publisher`."""

    def publish(self, folder: Path, target: str, dry_run: bool) -> str:
        """Uploads a finished folder in one commit; the repository is created if need be.

        Args:
            folder: A folder made by `greenadapt.save` with a profile in it.
            target: "owner/name".
            dry_run: Check everything that can be checked without writing, and write nothing.

        Returns:
            Address of the repository.

        Raises:
            OptionError: The target is no name of a repository.
            StorageError: The folder holds no saved model with a profile, or the Hub cannot be reached or
                refuses.
            ProfileError: The profile is not fit to be published.
        """
        from huggingface_hub import constants

        publishable_profile(folder)
        read_recipe(folder)
        _check_target(target)
        self._check_reachable(target)
        if not dry_run:
            self._upload(folder, target)
        return f"{constants.ENDPOINT}/{target}"

    def _check_reachable(self, target: str) -> None:
        offline = why_offline()
        if offline is not None:
            raise StorageError(
                f"Nothing was published to {target}.",
                offline,
                "Try again with a network, or publish the profile to a folder: --to profiles",
            )

    def _upload(self, folder: Path, target: str) -> None:
        from huggingface_hub import HfApi, constants
        from huggingface_hub.errors import HTTPError as TransportError  # type: ignore[attr-defined]

        api = HfApi(endpoint=constants.ENDPOINT, library_name="greenadapt")
        try:
            api.create_repo(target, exist_ok=True)
            api.upload_folder(
                repo_id=target,
                folder_path=folder,
                allow_patterns=list(_FILES),
                commit_message="Publish with greenadapt",
            )
        except (TransportError, OSError, ValueError) as error:
            raise StorageError(
                f"Publishing to {target} failed.",
                first_line(error),
                "Check the owner's name, and log in with a token that may write: hf auth login",
            ) from error


def _check_target(target: str) -> None:
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", target, re.ASCII):
        raise OptionError(
            f"{target!r} is no name for a repository on the Hub.",
            "A name is an owner and a name: letters, digits, '-', '_' and '.', with one slash.",
            "Write it so: --to hf-hub:me/resnet50-blockdrop",
        )


publisher = HubPublisher()

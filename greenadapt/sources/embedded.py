"""``embedded:``: the trained networks that ship with this package, for a first look without a network."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatch
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from greenadapt.errors import ModelError, did_you_mean
from greenadapt.storage import is_model_folder

if TYPE_CHECKING:
    from torch import nn


class EmbeddedSource:
    """Folders inside the package; a `greenadapt.interfaces.ModelSource` and `FolderSource`."""

    def __init__(self, home: Path | None = None) -> None:
        self._home = home or Path(str(files("greenadapt") / "embedded"))

    def names(self, pattern: str = "*") -> list[str]:
        """The networks that ship with this package."""
        if not self._home.is_dir():
            return []
        return sorted(
            path.name
            for path in self._home.iterdir()
            if is_model_folder(path) and fnmatch(path.name, pattern)
        )

    def resolve_folder(self, name: str) -> Path:
        """The folder of one of them.

        Raises:
            ModelError: There is none of that name.
        """
        known = self.names()
        if name in known:
            return self._home / name
        raise ModelError(
            f"There is no embedded model {name!r}.",
            f"There are: {', '.join(known)}." if known else "This installation ships none.",
            did_you_mean(name, known) or "Choose one of those, or a timm name without a prefix.",
        )

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Refuses: these are saved with what was done to them, so `greenadapt.load` reads them.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"embedded:{name} is a saved model, not a plain network.",
            f"It is the folder {self.resolve_folder(name).name} of this package.",
            f"Open it with greenadapt.open_model('embedded:{name}').",
        )


source = EmbeddedSource()

"""Where files lie: a folder or a zip, read by the same two calls."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from greenadapt.errors import DataError

__all__ = ["Store"]


class Store:
    """The files below a folder, or in a zip.

    Args:
        root: The folder or the zip.

    Attributes:
        sizes: Size in bytes of each file, by its path with forward slashes; hidden files are left out.
        folders: The folders, with or without files.

    Raises:
        DataError: The zip cannot be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._zip: zipfile.ZipFile | None = None
        if not root.is_dir():
            try:
                self._zip = zipfile.ZipFile(root)
            except (OSError, zipfile.BadZipFile) as error:
                raise DataError(
                    f"{root} cannot be read as a zip.", str(error), "Give a folder or a zip."
                ) from error
        found = self._zipped() if self._zip is not None else self._on_disk()
        visible = {path: size for path, size in sorted(found.items()) if not _hidden(path)}
        self.sizes = {path: size for path, size in visible.items() if size is not None}
        self.folders = {path for path, size in visible.items() if size is None}

    def _zipped(self) -> dict[str, int | None]:
        """Each file's size, and None for each folder."""
        assert self._zip is not None
        found: dict[str, int | None] = {}
        for info in self._zip.infolist():
            path = PurePosixPath(info.filename)
            found.update({str(parent): None for parent in path.parents if str(parent) != "."})
            found[str(path)] = None if info.is_dir() else info.file_size
        return found

    def _on_disk(self) -> dict[str, int | None]:
        """Each file's size, and None for each folder."""
        found: dict[str, int | None] = {}
        for where, folders, files in os.walk(self.root, followlinks=True):
            below = Path(where).relative_to(self.root)
            found.update({(below / name).as_posix(): None for name in folders})
            for name in files:
                file = Path(where, name)
                found[(below / name).as_posix()] = file.stat().st_size if file.exists() else 0
        return found

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            OSError: It cannot be read.
        """
        if self._zip is None:
            return (self.root / path).read_bytes()
        try:
            return self._zip.read(path)
        except (KeyError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise OSError(str(error)) from error

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return Store, (self.root,)


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))

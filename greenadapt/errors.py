"""Every error that greenadapt raises on purpose.

    GreenadaptError
    ├── ModelError          no such model or source, weights that do not fit, nothing to adapt
    ├── OptionError         an option that is unknown or out of range
    ├── DataError           images or labels that cannot be read or do not fit the model
    ├── TrainingError       a training that cannot start, cannot resume or produced no number
    ├── MeasurementError    an instrument that cannot answer
    ├── ProfileError        a file that cannot be read as an efficiency profile
    ├── RecipeError         a recipe that this version cannot read
    ├── StorageError        a folder that cannot be written or is not ours to replace
    ├── PluginError         a plugin that breaks the rules of the hooks
    └── MissingExtraError   an optional dependency that is not installed

An error is three short lines: what happened, what was seen, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GreenadaptError(Exception):
    """Base of all errors raised on purpose; the command line turns each into exit code 2.

    Args:
        happened: What could not be done.
        seen: What was found instead, with the names and numbers involved.
        todo: What the user can do about it.
    """

    def __init__(self, happened: str, seen: str = "", todo: str = "") -> None:
        super().__init__(happened, seen, todo)
        self.happened = happened
        self.seen = seen
        self.todo = todo

    def __str__(self) -> str:
        return "\n".join(line for line in (self.happened, self.seen, self.todo) if line)


class ModelError(GreenadaptError):
    """No such model or source, weights that do not fit, or nothing to adapt."""


class OptionError(GreenadaptError):
    """An option that is unknown or out of range."""


class DataError(GreenadaptError):
    """Images or labels that cannot be read, or that do not fit the model."""


class TrainingError(GreenadaptError):
    """A training that cannot start, cannot resume, or produced something that is no number."""


class MeasurementError(GreenadaptError):
    """An instrument that cannot answer."""


class ProfileError(GreenadaptError):
    """A file that cannot be read as an efficiency profile."""


class RecipeError(GreenadaptError):
    """A recipe that this version of greenadapt cannot read."""


class StorageError(GreenadaptError):
    """A folder that cannot be written, or that is not ours to replace."""


class PluginError(GreenadaptError):
    """A plugin that breaks the rules of the hooks."""


class MissingExtraError(GreenadaptError):
    """An optional dependency that is not installed.

    Args:
        feature: What needs it, as the subject of a sentence.
        extra: The extra of greenadapt that brings it.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs packages that are not installed.",
            f"They belong to the extra {extra!r}.",
            f"Run: pip install 'greenadapt[{extra}]'",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (GreenadaptError, (self.happened, self.seen, self.todo))


def did_you_mean(word: str, known: Iterable[str], limit: int = 3) -> str:
    """The sentence that helps after a misspelt name.

    Args:
        word: What was asked for.
        known: The names that exist.
        limit: How many to offer.

    Returns:
        "Did you mean a, b?" or, where nothing is close, an empty string.
    """
    close = difflib.get_close_matches(word, list(dict.fromkeys(known)), n=limit, cutoff=0.5)
    return f"Did you mean {', '.join(close)}?" if close else ""

"""What a plugin implements: Protocols of at most five members, and the descriptors that announce them.

A hook returns `Provider` objects: a name, one line and where to import the rest from, so that listing
what is there imports nothing. `Provider.load()` gives an object of the protocol:

    greenadapt_adapters()       -> Adapter
    greenadapt_meters()         -> MeterFactory, whose `open` gives a Meter
    greenadapt_model_sources()  -> ModelSource
    greenadapt_publishers()     -> Publisher
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from greenadapt.errors import MissingExtraError, PluginError
from greenadapt.profile import Kind, Plan, Profile

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer
    from torch.utils.data import DataLoader

    from greenadapt.carbon import CarbonInputs


@dataclass(frozen=True)
class Provider:
    """A thing that a plugin offers, before it is imported.

    Attributes:
        name: What the user types: lower case, unique among the providers of its hook.
        summary: One line for lists.
        target: Where the object is, as "package.module:attribute"; the attribute is an instance.
        extra: The extra of greenadapt that must be installed for it, if any.
    """

    name: str
    summary: str
    target: str
    extra: str | None = None

    def load(self) -> Any:
        """Imports and returns the object.

        Raises:
            MissingExtraError: Its extra is not installed.
            PluginError: The target does not exist.
        """
        module_name, _, attribute = self.target.partition(":")
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            if self.extra is not None:
                raise MissingExtraError(self.name, self.extra) from error
            raise PluginError(
                f"{self.name!r} could not be loaded.",
                f"Importing {module_name} failed: {error}.",
                "Reinstall the plugin that brings it, or disable it with GREENADAPT_PLUGINS.",
            ) from error
        try:
            return getattr(module, attribute)
        except AttributeError as error:
            raise PluginError(
                f"{self.name!r} could not be loaded.",
                f"{module_name} has no attribute {attribute!r}.",
                "The plugin's target must read 'package.module:attribute'.",
            ) from error


@dataclass(frozen=True)
class Block:
    """One block of a model as an adapter sees it; the rows of `Description.blocks`."""

    name: str
    shortcut: str
    """"identity", "projection", "pooled", or "none"."""
    droppable: bool
    kept: float | None
    """Share of images that run it: 1.0 or 0.0 under a fixed policy, None while undecided."""
    why_not: str | None = None
    """Why it cannot be dropped, where it cannot."""


@dataclass(frozen=True)
class Description:
    """What an adapter changed, as a diff; print it.

    Attributes:
        title: One line: which model, which adapter, which options.
        changes: Lines of a diff: "- was", "+ is", "  stays".
        blocks: Every residual block, droppable or not; empty for adapters that do not work by blocks.
        parameters_before: Number of parameters of the base.
        parameters_after: Number of parameters now.
        notes: What else a reader must know.
    """

    title: str
    changes: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    parameters_before: int | None = None
    parameters_after: int | None = None
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [self.title, *self.changes]
        if self.parameters_before is not None:
            lines.append(f"parameters: {self.parameters_before:,} => {self.parameters_after:,}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


@dataclass(frozen=True)
class Teacher:
    """A frozen network that a model learns from.

    Attributes:
        network: Images [B, C, H, W] to logits [B, classes], in eval mode.
        share: Of the loss that its logits have; the labels have the rest.
        temperature: By which its distribution and the model's are softened.
    """

    network: nn.Module
    share: float = 0.5
    temperature: float = 4.0


class Objective(Protocol):
    """What `finetune` minimises. An adapter brings its own; the default is cross-entropy."""

    name: str

    def prepare(self, loader: DataLoader[Any]) -> None:
        """Runs once before the first epoch, such as a re-estimation of batch-norm statistics.

        A training that resumes prepares as well, and then takes the model from the checkpoint.
        """

    def optimizer(self, learning_rate: float | None, weight_decay: float) -> Optimizer:
        """The optimiser of everything that this objective trains.

        Args:
            learning_rate: The highest learning rate, or None for the objective's own.
            weight_decay: For weights; norms and biases are the objective's business.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Sets train and eval modes, freezes and thaws; epochs count from 0. Called on resume too."""

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss of a batch, and figures to log: ``top1`` and whatever else helps.

        Args:
            images: Float, [B, C, H, W].
            labels: int64, [B]; with mixup the shares of the classes, float32 [B, classes].
        """


class Adapter(Protocol):
    """A way to make a model spend less.

    The contract that every adapter keeps is `greenadapt.testing.check_adapter`.
    """

    name: str
    config: type[Any]
    """A frozen dataclass of options, all with defaults; raises OptionError when out of range."""

    def wrap(self, model: nn.Module, config: Any) -> nn.Module:
        """Retrofits `model`, which is already the caller's to change.

        Raises:
            ModelError: There is nothing in the model that this adapter can work on.
            OptionError: The options do not fit this model.
        """

    def describe(self, model: nn.Module) -> Description:
        """What was changed in a model that this adapter wrapped."""

    def objective(self, model: nn.Module, teacher: Teacher | None, epochs: int) -> Objective:
        """What to minimise to win the accuracy back, over that many epochs."""


@dataclass(frozen=True)
class MeterInfo:
    """What a meter's joules mean."""

    name: str
    kind: Kind
    scope: str
    """"gpu", "cpu package", "machine"."""
    period_seconds: float | None = None
    """How often the counter moves, as found on this board; None if it moves at every reading."""
    systematic_fraction: float | None = None
    """Stated uncertainty of the absolute joules, such as 0.05."""
    note: str = ""
    board: str | None = None
    """UUID of the board that is counted; None where it is no board, or several."""


class Meter(Protocol):
    """An open instrument: a counter of joules that only rises."""

    info: MeterInfo

    def read(self) -> float:
        """Joules since some fixed moment before the meter was opened.

        Raises:
            MeasurementError: The counter cannot be read, or it went backwards.
        """

    def close(self) -> None:
        """Gives back whatever the meter holds; further readings are errors."""


class MeterFactory(Protocol):
    """Opens a meter on a device."""

    def why_not(self, device: str) -> str | None:
        """None if the meter would work for this torch device, else one sentence with the way out."""

    def open(self, device: str) -> Meter:
        """Opens the instrument for a torch device such as "cuda:0" or "cpu".

        Raises:
            MeasurementError: It cannot be used; the message is that of `why_not`.
        """


class ModelSource(Protocol):
    """A place that models come from, such as ``timm:``."""

    def names(self, pattern: str = "*") -> list[str]:
        """Names that can be opened, for lists and for did-you-mean; may be empty."""

    def open(self, name: str, pretrained: bool, model_args: Mapping[str, Any]) -> nn.Module:
        """Builds the network, in eval mode.

        Raises:
            ModelError: No such model, or its weights cannot be had (offline, say).
        """


@runtime_checkable
class FolderSource(Protocol):
    """A model source some of whose names stand for folders saved by greenadapt."""

    def resolve_folder(self, name: str) -> Path | None:
        """The folder, on this disk, or None if `ModelSource.open` is to build the network.

        Raises:
            ModelError: No such name, or it cannot be had.
        """


class Publisher(Protocol):
    """A place that a finished folder can go to. Publishers move; they do not draw."""

    def publish(self, folder: Path, target: str, dry_run: bool) -> str:
        """Copies the folder, and returns where it now is.

        Args:
            folder: A folder made by `greenadapt.save` with a ``profile.json`` in it.
            target: What follows the publisher's name, as in ``hf-hub:me/name``; may be empty.
            dry_run: Check everything, write nothing.

        Raises:
            StorageError: The target cannot be written.
        """


@dataclass(frozen=True)
class AuditRequest:
    """What `greenadapt_run_audit` is asked to do.

    Attributes:
        models: The networks by name, in the order given; audited interleaved. An engine of another make is
            a function of images [B, C, H, W] to logits [B, classes].
        plan: The conditions and lengths.
        data: A dataset or DataLoader of real images, or None for random ones.
        places: ISO codes for the carbon figures.
        roles: "base", "retrofit" or "rival" by name, for tables.
        progress: Called with a line per phase and a fraction between 0 and 1.
        sweep: Settings to audit each network under, by name; see `greenadapt.auditing.settings`.
        carbon: Grids, PUE and embodied carbon for the carbon figures, beside `places`.
    """

    models: Mapping[str, nn.Module | Callable[..., Any]]
    plan: Plan
    data: Any = None
    places: Sequence[str] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    progress: Any = None
    sweep: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    carbon: CarbonInputs | None = None


AuditResult = list[Profile]

"""Brings rivals to the device: one copy per network, precision and memory format, one call per rival.

    network ── ready_copy ──> copy in fp32 ──┬── step on batches of 1
       │                                     ├── step on batches of 32
       │                                     └── compiled ── step on batches of 32
       └───── ready_copy ──> copy in bf16 ───── ...
    engine ─────────────────────────────────── step: it is called as it is

fp16 and bf16 mean that weights and images are converted, as one does to deploy a network; autocast,
which keeps some layers in fp32, is not used. A compiled network is compiled for each batch size, as one
does to serve it. The caller's networks are not touched.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt import inspection
from greenadapt.auditing.settings import Rival
from greenadapt.auditing.workload import DTYPES, Workload, memory_format
from greenadapt.errors import DataError, GreenadaptError, OptionError
from greenadapt.profile import Plan

Network = Callable[[Tensor], Any]
"""An `nn.Module`, or an engine of another make: images [B, C, H, W] to logits [B, classes]."""
_FAILURES = (RuntimeError, ValueError, AssertionError, TypeError, NotImplementedError)
_COMPILATIONS = 256


@dataclass(frozen=True)
class Loaded:
    """A rival that runs.

    Attributes:
        rival: Which one.
        network: What is called, uncompiled.
        pool: The batches that it goes round in.
        step: One call on the next batch.
        otherwise: On how many images of the first batch it decides otherwise compiled than uncompiled.
    """

    rival: Rival
    network: Network
    pool: list[Tensor]
    step: Callable[[], object]
    otherwise: int = 0


class Loader:
    """Loads rivals one after another.

    Args:
        networks: The networks by name.
        workload: The images.
        device: A resolved torch device.
    """

    def __init__(self, networks: Mapping[str, Network], workload: Workload, device: str) -> None:
        self._networks, self._workload, self._device = networks, workload, device
        self._copies: dict[tuple[str, str, str], Network] = {}

    def load(self, rival: Rival) -> Loaded:
        """Loads a rival and calls it once.

        Raises:
            DataError: It does not run on the images, or what it returns are no logits.
            OptionError: It does not run under its setting, or the size of its images is unknown.
        """
        plan = rival.plan
        pool = self._workload.pool(self._shape(rival.network), plan)
        kept = dict(self._copies)
        try:
            with _explained(rival.name, plan):
                return self._called_once(rival, self._ready(rival), pool)
        except GreenadaptError:
            # What does not run must not take the memory of what does.
            self._copies = kept
            raise

    def _called_once(self, rival: Rival, network: Network, pool: list[Tensor]) -> Loaded:
        eager = _called(network, pool[0])
        _check_logits(eager, rival.name)
        if not rival.plan.compile or not isinstance(network, nn.Module):
            return Loaded(rival, network, pool, step_of(network, pool))
        forward = _compiled(network)
        otherwise = int((_called(forward, pool[0]).argmax(1) != eager.argmax(1)).sum())
        return Loaded(rival, network, pool, step_of(forward, pool), otherwise)

    def _ready(self, rival: Rival) -> Network:
        network, plan = self._networks[rival.network], rival.plan
        if not isinstance(network, nn.Module):
            return network
        key = (rival.network, plan.precision, plan.memory_format)
        if key not in self._copies:
            self._copies[key] = ready_copy(network, plan, self._device)
        return self._copies[key]

    def _shape(self, name: str) -> tuple[int, int, int]:
        """What a network was made for; an engine is shown what the first network is shown."""
        network = self._networks[name]
        if isinstance(network, nn.Module):
            return inspection.input_shape(network)
        shape = getattr(network, "input_shape", None)
        modules = (each for each in self._networks.values() if isinstance(each, nn.Module))
        first = next(modules, None)
        if shape is None and first is None and self._workload.data is None:
            raise OptionError(
                f"The size of random images for {name} is unknown.",
                "It is an engine that is only called, and no network of torch is audited beside it.",
                "Give data, or set its attribute input_shape to (channels, height, width).",
            )
        if shape is not None or first is None:
            return tuple(shape or (0, 0, 0))
        return inspection.input_shape(first)


def ready_copy(model: nn.Module, plan: Plan, device: str) -> nn.Module:
    """A copy of a network that is ready to be audited; the original stays as it is.

    Args:
        model: Any classifier: [B, C, H, W] to [B, classes].
        plan: Precision and memory format.
        device: Where the copy goes.
    """
    copied = copy.deepcopy(model).eval().to(device=device, dtype=DTYPES[plan.precision])
    return copied.to(memory_format=memory_format(plan))


def step_of(network: Network, pool: list[Tensor]) -> Callable[[], object]:
    """One call of a network on the next batch of the pool, round and round."""
    following = itertools.cycle(pool)

    def step() -> object:
        with torch.inference_mode():
            return network(next(following))

    return step


@contextmanager
def room_to_compile(wanted: bool) -> Iterator[None]:
    """Lets torch keep every compiled rival: past its usual eight it would run the next ones uncompiled.

    Args:
        wanted: Whether anything is compiled; if not, nothing is done.
    """
    if not wanted:
        yield
        return
    import torch._dynamo.config as settings

    with settings.patch(recompile_limit=_COMPILATIONS, accumulated_recompile_limit=_COMPILATIONS):
        yield


def _compiled(network: nn.Module) -> Network:
    # The groups of an adaptive network change with the images, so its shapes cannot be fixed.
    adaptive = hasattr(network, "greenadapt_paths")
    compiled: Network = torch.compile(network, dynamic=None if adaptive else False)
    return compiled


def _called(network: Network, images: Tensor) -> Any:
    with torch.inference_mode():
        return network(images)


@contextmanager
def _explained(name: str, plan: Plan) -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        first_line = (str(error) or type(error).__name__).strip().splitlines()[0]
        if isinstance(error, torch.OutOfMemoryError):
            if torch.cuda.is_initialized():
                torch.cuda.empty_cache()
            raise OptionError(
                f"{name} does not fit into the memory.",
                first_line,
                "Choose a smaller batch size (--batch-size).",
            ) from error
        if plan.precision != "fp32" or plan.compile:
            asked = plan.precision + (", compiled" if plan.compile else "")
            raise OptionError(
                f"{name} does not run as {asked}.", first_line, "Try fp32, uncompiled."
            ) from error
        raise DataError(
            f"{name} does not run on these images.",
            first_line,
            "Check size and channels of the images against the network's.",
        ) from error


def _check_logits(outputs: Any, name: str) -> None:
    if isinstance(outputs, Tensor) and outputs.ndim == 2:
        return
    shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    raise DataError(
        f"{name} is no classifier that greenadapt can audit.",
        f"It returns {shape}, not logits of shape (batch, classes).",
        "Wrap it in a module that returns the logits alone.",
    )

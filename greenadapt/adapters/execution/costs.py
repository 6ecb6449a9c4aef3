"""What a block costs for n samples on this device, and which way to run a batch is cheapest by it.

    measured      one forward pass for each of a few batch sizes (see timing.py)
    in between    straight lines; beyond the largest, the same time a sample
    a batch       grouped:   every path's blocks for its samples, and the rest once a path
                  gathered:  every block for its samples, the rest once, and the moving of rows; a block
                             whose rows stand together may run on the stretches instead of being gathered

Measuring happens at the first batch whose paths differ, and again at one more than twice as large, on a copy
without hooks that shares the weights, and takes about `BUDGET_SECONDS`, or one forward pass of one sample
where that is longer. The result is kept as long as the model lives, apart from it: neither a copy nor a
pickle nor a state dict has it.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from greenadapt.adapters.execution.placing import by_likeness
from greenadapt.adapters.execution.timing import Moving, Times, moved, pass_times
from greenadapt.adapters.gates import Gated
from greenadapt.adapters.sharing import shared_copy
from greenadapt.errors import ModelError

BUDGET_SECONDS = 1.2
_STEP = 4
_PASSES = 3
_PARTS = (1, 2, 4, 8)


@dataclass(frozen=True)
class _Curves:
    """Seconds by the number of samples, 0 to B: [K, B + 1], the rest [B + 1]; take and put are [K], a row."""

    block: Tensor
    shortcut: Tensor
    rest: Tensor
    take: Tensor
    put: Tensor


class CostModel:
    """Seconds of the parts of a network of gated blocks on one device.

    Args:
        measured: By the number of samples, what the parts of a forward pass of so many took.
        moving: What moving rows takes.
        images: How many there were to measure on; None: as many as were measured.
    """

    def __init__(self, measured: Mapping[int, Times], moving: Moving, images: int | None = None) -> None:
        self.measured = dict(sorted(measured.items()))
        self.moving = moving
        self.images = images or max(measured)
        self._known: dict[int, _Curves] = {}

    @property
    def blocks(self) -> int:
        """K."""
        return len(next(iter(self.measured.values())).block)

    def block_seconds(self, index: int, n: int) -> float:
        """Of block `index` (droppable ones counted) for n samples; 0 for none."""
        return float(self._curves(n).block[index, n])

    def shortcut_seconds(self, index: int, n: int) -> float:
        """Of what a dropped block still runs, for n samples; 0 for none."""
        return float(self._curves(n).shortcut[index, n])

    def rest_seconds(self, n: int) -> float:
        """Of everything that is no gated block, for n samples: stem, head, what stands between."""
        return float(self._curves(n).rest[n])

    def grouped_seconds(self, table: Tensor) -> float:
        """Of running a batch path by path; table bool, [B, K], on the CPU."""
        paths, sizes = torch.unique(table, dim=0, return_counts=True)
        known = self._curves(len(table))
        each = torch.where(paths.t(), known.block[:, sizes], known.shortcut[:, sizes])
        return float(each.sum() + known.rest[sizes].sum())

    def gathered_seconds(self, table: Tensor, portion: int | None = None) -> float:
        """Of running samples block by block.

        Args:
            table: bool, [B, K], on the CPU, in the order of its rows.
            portion: How many samples at a time; None: all.
        """
        n = portion or len(table)
        rest = self._curves(len(table)).rest
        gathered, stretched = self._ways(table, n)
        return float(rest[_sizes(len(table), n)].sum() + torch.minimum(gathered, stretched).sum())

    def in_stretches(self, table: Tensor) -> list[bool]:
        """For each block of a batch, whether its rows had better run where they stand, stretch by stretch."""
        gathered, stretched = self._ways(table, len(table))
        flags: list[bool] = (stretched < gathered)[0].tolist()
        return flags

    def portion(self, table: Tensor) -> tuple[int, float]:
        """How many samples to run at a time, block by block, and the seconds of the whole batch.

        Parts of a batch stay in the cache where a whole one does not; but every call has its own price.
        """
        sizes = {-(-len(table) // parts) for parts in _PARTS}
        seconds = {n: self.gathered_seconds(table, n) for n in sorted(sizes, reverse=True) if n > 1}
        return min(seconds.items(), key=lambda one: one[1])

    def choose(self, table: Tensor) -> Literal["grouped", "gathered"]:
        """The cheaper way for a batch whose paths differ; table bool, [B, K], on the CPU."""
        order = torch.argsort(by_likeness(table)[1], stable=True)
        return "gathered" if self.portion(table[order])[1] < self.grouped_seconds(table) else "grouped"

    def _ways(self, table: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """Seconds of gathering and of stretches, for each portion of n rows and each block, [P, K]."""
        batch, blocks = table.shape
        known, sizes = self._curves(batch), _sizes(batch, n)[:, None]
        portion_of = torch.arange(batch) // n
        kept = torch.zeros(len(sizes), blocks, dtype=torch.long).index_add_(0, portion_of, table.long())
        each = torch.arange(blocks)
        computed = known.block[each, kept] + known.shortcut[each, sizes - kept]
        alike = (kept == 0) | (kept == sizes)
        gathered = computed + torch.where(alike, 0.0, (known.take + known.put) * sizes)
        # A stretch begins where a row differs from the one before, and where a portion begins.
        begins = torch.ones(blocks, batch, dtype=torch.bool)
        begins[:, 1:] = (table[1:] != table[:-1]).t() | (portion_of[1:] != portion_of[:-1])
        block_of, first = begins.nonzero().unbind(1)
        at = block_of * batch + first
        length = torch.diff(at, append=torch.tensor([blocks * batch]))
        keep = table[first, block_of]
        seconds = torch.where(keep, known.block[block_of, length], known.shortcut[block_of, length])
        stretched = torch.zeros(len(sizes) * blocks, dtype=torch.float64)
        stretched.index_add_(0, portion_of[first] * blocks + block_of, seconds)
        stretched = stretched.view(len(sizes), blocks) + known.put * sizes
        return gathered, torch.where(alike, computed, stretched)

    def _curves(self, batch: int) -> _Curves:
        known = self._known.get(batch)
        if known is None:
            row_bytes = next(iter(self.measured.values())).row_bytes
            known = self._known[batch] = _Curves(
                self._curve([times.block for times in self.measured.values()], batch),
                self._curve([times.shortcut for times in self.measured.values()], batch),
                self._curve([(times.rest,) for times in self.measured.values()], batch)[0],
                torch.tensor(row_bytes, dtype=torch.float64) * self.moving.take,
                torch.tensor(row_bytes, dtype=torch.float64) * self.moving.put,
            )
        return known

    def _curve(self, values: Sequence[Sequence[float]], batch: int) -> Tensor:
        import numpy as np

        sizes = list(self.measured)
        at = np.arange(batch + 1)
        lines = [np.interp(at, [0, *sizes], [0.0, *parts]) for parts in zip(*values, strict=True)]
        whole = np.stack(lines) if lines else np.zeros((0, batch + 1))
        beyond = np.maximum(at / sizes[-1], 1.0)
        return torch.from_numpy(whole * beyond)


def _sizes(batch: int, n: int) -> Tensor:
    """Samples in each portion of a batch, [P]."""
    sizes = torch.full((-(-batch // n),), n)
    sizes[-1] = batch - n * (len(sizes) - 1)
    return sizes


def measure_costs(model: nn.Module, images: Tensor, seconds: float = BUDGET_SECONDS) -> CostModel:
    """Times the blocks of a model on one, four, sixteen ... of these images, as far as the time allows.

    Args:
        model: Its residual blocks gated (`gates.gate`, or wrapped by BlockDrop). It is not changed: a copy
            without hooks that shares its weights runs in its place, in eval mode, without its policy.
        images: [B, C, H, W], B > 0, on the model's device and in the memory format to measure.
        seconds: Roughly how long to measure; one image is measured however long it takes.

    Raises:
        ModelError: No block of the model is gated, or there is no image.
    """
    if len(images) == 0 or not any(isinstance(module, Gated) for module in model.modules()):
        raise ModelError(
            "There is nothing to time.",
            f"{len(images)} images, {type(model).__name__}.",
            "Wrap the model with 'blockdrop' and pass at least one image.",
        )
    model = shared_copy(model, without=("greenadapt_policy",)).eval()
    # Whoever looks on (a FLOP counter) would take this for work of the images, and would slow every call.
    with _disable_current_modes():
        return _measured(model, images, seconds)


def _measured(model: nn.Module, images: Tensor, seconds: float) -> CostModel:
    measured: dict[int, Times] = {}
    end = time.perf_counter() + seconds
    # Memory, threads and libraries are warm only after this.
    row_bytes = sorted(pass_times(model, images[:1]).row_bytes)
    moving = moved(len(images), row_bytes[len(row_bytes) // 2], images.device)
    n = 1
    while True:
        begun = time.perf_counter()
        passes = [pass_times(model, images[:n])]
        took = time.perf_counter() - begun
        while len(passes) < _PASSES and time.perf_counter() + took < end - seconds / 2:
            passes.append(pass_times(model, images[:n]))
        measured[n] = _least(passes)
        affordable = int((end - time.perf_counter()) / (took / n))
        following = min(len(images), _STEP * n, affordable)
        if following < min(2 * n, len(images)) or following <= n:
            return CostModel(measured, moving, len(images))
        n = following


_MEASURED: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], CostModel | None]] = WeakKeyDictionary()
_LOCK = threading.Lock()


def costs_of(model: nn.Module, images: Tensor) -> CostModel | None:
    """The costs of a model for images such as these; measured where they are not known yet.

    They are known for up to twice as many images as there were when they were measured; beyond that, what a
    few images cost says too little, and they are measured again.

    Args:
        model: As for `measure_costs`.
        images: [B, C, H, W].

    Returns:
        The costs, or None while another thread is measuring, and where they cannot be measured, which a
        warning tells once: the batch still runs, by a rule of thumb.
    """
    key = (
        str(images.device),
        images.dtype,
        tuple(images.shape[1:]),
        images.is_contiguous(),
        torch.get_num_threads(),
        torch.is_autocast_enabled(images.device.type) and torch.get_autocast_dtype(images.device.type),
    )
    # Whoever comes while another measures goes on without: waiting would cost more than a wrong choice.
    if not _LOCK.acquire(blocking=False):
        return None
    try:
        known = _MEASURED.setdefault(model, {})
        found = known.get(key)
        if key not in known or (found is not None and len(images) > 2 * found.images):
            known[key] = found = _costs_if_measurable(model, images)
        return found
    finally:
        _LOCK.release()


def _costs_if_measurable(model: nn.Module, images: Tensor) -> CostModel | None:
    if not any(isinstance(module, Gated) for module in model.modules()):
        return None
    try:
        return measure_costs(model, images)
    except Exception as error:  # whatever a copy of a stranger's network provokes
        warnings.warn(
            f"What the blocks of {type(model).__name__} cost cannot be measured, so batches of mixed paths "
            f"run by a rule of thumb. {type(error).__name__}: {error}",
            stacklevel=2,
        )
        return None


def _least(passes: Sequence[Times]) -> Times:
    """Part by part the shortest, because whatever disturbs a pass only makes it longer."""
    blocks = zip(*(times.block for times in passes), strict=True)
    shortcuts = zip(*(times.shortcut for times in passes), strict=True)
    return Times(
        tuple(map(min, blocks)),
        tuple(map(min, shortcuts)),
        min(times.rest for times in passes),
        passes[0].row_bytes,
    )

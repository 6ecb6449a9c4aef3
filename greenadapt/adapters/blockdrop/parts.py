"""What the parts of a network under BlockDrop take on this device: seconds, and multiply-accumulates.

    whole       all blocks kept, no policy
    none        every block dropped that can be
    block k     in place, during a forward of the whole
    shortcut k  what still runs of block k when it is dropped
    policy      its network, and the one copy of its decisions to the host

The whole should be ``none`` and what each block adds to its shortcut; what is missing is `Parts.unaccounted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from torch import Tensor, nn

from greenadapt.adapters.execution import OnePath
from greenadapt.adapters.execution.timing import Marked, pass_times
from greenadapt.adapters.gates import Run, under
from greenadapt.adapters.timing import (
    BUDGET_SECONDS,
    Clock,
    Step,
    Timed,
    circumstances,
    evaluating,
    example_images,
    rounds,
    timed,
)
from greenadapt.counting import counting


@dataclass(frozen=True)
class BlockCost:
    """What one block takes, for a batch (seconds) and for an image (macs).

    Attributes:
        name: Where it stands in the model.
        seconds: With its shortcut.
        shortcut_seconds: What still runs when it is dropped.
        macs: With its shortcut.
        shortcut_macs: What is still computed when it is dropped.
    """

    name: str
    seconds: float
    shortcut_seconds: float
    macs: int
    shortcut_macs: int

    @property
    def saved_seconds(self) -> float:
        """What dropping it saves of a batch's time; never below 0."""
        return max(0.0, self.seconds - self.shortcut_seconds)

    @property
    def saved_macs(self) -> int:
        """What dropping it saves of an image's multiply-accumulates."""
        return self.macs - self.shortcut_macs


@dataclass(frozen=True)
class Parts(Timed):
    """The parts of a network under BlockDrop.

    Attributes:
        whole_seconds: All blocks, no policy.
        none_seconds: No block that can be dropped, no policy.
        policy_seconds: 0.0 under a fixed policy, which decides nothing.
        path_seconds: The path of a fixed policy; None under a learned one.
        whole_macs: Of an image, all blocks, no policy.
        policy_macs: Of an image; 0 under a fixed policy.
        blocks: Those that can be dropped.
        kept: The path of a fixed policy; None under a learned one.
    """

    whole_seconds: float
    none_seconds: float
    policy_seconds: float
    path_seconds: float | None
    whole_macs: int
    policy_macs: int
    blocks: tuple[BlockCost, ...]
    kept: tuple[bool, ...] | None

    @property
    def unaccounted(self) -> float:
        """Share of the whole's time that its parts do not add up to; below 0 where they add up to more."""
        parts = self.none_seconds + sum(block.saved_seconds for block in self.blocks)
        return 1 - parts / self.whole_seconds


def measure_parts(model: Any, batch_size: int, budget_seconds: float = BUDGET_SECONDS) -> Parts:
    """Times and counts the parts of a model under BlockDrop on the device that it is on.

    Args:
        model: A `greenadapt.adapters.blockdrop.adapter.BlockDrop`.
        batch_size: Images at a time.
        budget_seconds: About how long to time.
    """
    with evaluating(model):
        images = example_images(model, batch_size)
        clock = Clock(images.device)
        found = rounds(_steps(model, images, clock), budget_seconds)
        macs, whole_macs, policy_macs = _counts(model, images[:1])
    seconds = {name: median(values) for name, values in found.items()}
    names = [block.name for block in model.greenadapt_found if block.droppable]
    return Parts(
        **vars(circumstances(images, found["whole"])),
        whole_seconds=seconds["whole"],
        none_seconds=seconds["none"],
        policy_seconds=seconds.get("policy", 0.0),
        path_seconds=seconds.get("path"),
        whole_macs=whole_macs,
        policy_macs=policy_macs,
        blocks=tuple(
            # A block that a forward never calls takes nothing.
            BlockCost(name, seconds[f"block {k}"], seconds[f"shortcut {k}"], *macs.get(k, (0, 0)))
            for k, name in enumerate(names)
        ),
        kept=model.greenadapt_kept,
    )


def _steps(model: Any, images: Tensor, clock: Clock) -> list[Step]:
    count = model.greenadapt_blocks

    def along(path: tuple[bool, ...]) -> Callable[[], object]:
        return lambda: _forward(model, images, OnePath(path))

    def in_place() -> Mapping[str, float]:
        times = pass_times(model, images)
        lengths = {f"block {k}": seconds for k, seconds in enumerate(times.block)}
        return lengths | {f"shortcut {k}": seconds for k, seconds in enumerate(times.shortcut)}

    steps: list[Step] = [
        timed("whole", along((True,) * count), clock),
        in_place,
        timed("none", along((False,) * count), clock),
    ]
    if model.greenadapt_policy is not None:
        steps.append(timed("policy", lambda: model.greenadapt_paths(images).cpu(), clock))
    if model.greenadapt_kept is not None:
        steps.append(timed("path", along(model.greenadapt_kept), clock))
    return steps


def _counts(model: Any, image: Tensor) -> tuple[dict[int, tuple[int, int]], int, int]:
    """Of each block and its shortcut, of the whole without the policy, and of the policy."""
    with counting(model) as counter:
        run = Marked(lambda: counter.macs)
        _forward(model, image, run)
        macs = {k: (middle - start, end - middle) for k, (start, middle, end) in run.marks.items()}
        whole = counter.macs - sum(shortcut for _, shortcut in macs.values())
        before = counter.macs
        model.greenadapt_paths(image)
        policy = counter.macs - before
    return macs, whole, policy


def _forward(model: nn.Module, images: Tensor, run: Run) -> None:
    with under(run):
        model(images)

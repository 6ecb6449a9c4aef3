"""What an adaptive network decides, gathered while the accuracy is counted.

accuracy_pass ── tables [B, K] ──> Decisions ── labels, hits ──> Execution
after the trials: path_trials.py ── PathCost by path ──────────────┘
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from greenadapt.auditing.workload import Workload
from greenadapt.errors import GreenadaptError
from greenadapt.models import describe
from greenadapt.profile import Execution, PathCost
from greenadapt.statistics import execution_of

if TYPE_CHECKING:
    from greenadapt.statistics.decisions import Bools


@dataclass
class Decisions:
    """Which blocks each image ran, in order; a batch after another."""

    tables: list[Tensor] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether anything was decided: a network that always runs the same tells nothing."""
        return any(len(table) for table in self.tables)

    def take(self, table: Tensor) -> None:
        """Adds a batch.

        Args:
            table: bool [B, K], on any device.
        """
        self.tables.append(table.bool().cpu())

    @property
    def blocks(self) -> int:
        """K; 0 where nothing was decided."""
        return self.tables[0].shape[1] if self.tables else 0

    @property
    def table(self) -> Bools:
        """All of them: bool [N, K]."""
        found: Bools = torch.cat(self.tables).numpy()
        return found

    def execution(
        self,
        labels: Sequence[int],
        hits: Sequence[bool],
        *,
        block_names: Sequence[str] = (),
        class_names: Mapping[int, str] | None = None,
        costs: Mapping[str, PathCost] | None = None,
    ) -> Execution | None:
        """What the profile says of them; None for a network that always runs the same.

        Args:
            labels: Class of each image; empty where the images have none.
            hits: Whether each was classified correctly; likewise.
            block_names: What the blocks are called, if that is known.
            class_names: What the classes are called, by label.
            costs: What the paths cost that were timed.
        """
        import numpy as np

        if not self:
            return None
        return execution_of(
            self.table,
            np.array(labels, np.int64) if labels else None,
            np.array(hits, bool) if hits else None,
            block_names=block_names,
            class_names=class_names,
            costs=costs,
        )


def block_names(network: Any, blocks: int) -> list[str]:
    """Names of the blocks that a network decides about, in order; none where it does not tell."""
    if not isinstance(network, nn.Module):
        return []
    try:
        named = [block.name for block in describe(network).blocks if block.droppable]
    except GreenadaptError:
        return []
    return named if len(named) == blocks else []


def class_names(workload: Workload) -> dict[int, str]:
    """What the data call their classes, by label; empty where they do not tell."""
    data = workload.data
    for source in (data, getattr(data, "dataset", None)):
        # torchvision calls them `classes`; greenadapt's own data give their number by that name.
        for name in ("class_names", "classes"):
            found = getattr(source, name, None)
            if isinstance(found, (list, tuple)) and found and all(isinstance(each, str) for each in found):
                return dict(enumerate(found))
    return {}

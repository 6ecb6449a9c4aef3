"""The options of Big-Little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from greenadapt.adapters.options import check_whole


@dataclass(frozen=True)
class BigLittleConfig:
    """How thin and how shallow the little branch is.

    Attributes:
        alpha: The little branch has 1/alpha of the width.
        beta: It has 1/beta of the depth, and at least one block.

    Raises:
        OptionError: An option is out of range.
    """

    adapter: ClassVar[str] = "biglittle"

    alpha: int = 2
    beta: int = 4

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        check_whole("alpha", self.alpha, 1)
        check_whole("beta", self.beta, 1)

    def little_depth(self, blocks: int) -> int:
        """Blocks of the little branch beside a stage of that many: max(1, blocks // beta - 1)."""
        return max(1, blocks // self.beta - 1)

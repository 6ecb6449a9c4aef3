"""The options of Big-Little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from greenadapt.errors import OptionError


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
        for name, value in (("alpha", self.alpha), ("beta", self.beta)):
            if value < 1 or value != int(value):
                raise OptionError(f"{name} is out of range.", f"{name}={value}", "Use 1, 2 or 4.")

    def little_depth(self, blocks: int) -> int:
        """Blocks of the little branch beside a stage of that many: max(1, blocks // beta - 1)."""
        return max(1, blocks // self.beta - 1)

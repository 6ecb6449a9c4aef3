"""The options of Big-Little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from greenadapt.adapters.options import check_whole, put
from greenadapt.errors import OptionError

Depth = Literal["native", "paper"]
Init = Literal["auto", "zero", "l1", "random"]


@dataclass(frozen=True)
class BigLittleConfig:
    """How thin and how shallow the little branch is, and how the conversion starts.

    Attributes:
        alpha: The little branch has 1/alpha of the width.
        beta: It has 1/beta of the depth, and at least one block.
        depth: "native" keeps the base's blocks; "paper" gives 101 and 152 layers the paper's, [4, 8, 18, 3]
            and [5, 12, 30, 3], by dropping and doubling blocks.
        init: How the new branches start. "zero": drawn at random behind an expansion that is shut; "l1": the
            little blocks are cut out of the base's own, by the L1 norms of their filters, behind the same
            expansion; "random": drawn at random, stem and expansion open; "auto": "l1", which had
            the highest mean of the benchmark, though no start was measurably ahead, or "zero" where the
            base's blocks cannot be cut.

    Raises:
        OptionError: An option is out of range.
    """

    adapter: ClassVar[str] = "biglittle"

    alpha: int = 2
    beta: int = 4
    depth: Depth = "native"
    init: Init = "auto"

    def __post_init__(self) -> None:
        """Refuse what cannot be built."""
        put(self, alpha=check_whole("alpha", self.alpha, 1), beta=check_whole("beta", self.beta, 1))
        _check_choice("depth", self.depth, get_args(Depth))
        _check_choice("init", self.init, get_args(Init))

    def little_depth(self, blocks: int) -> int:
        """Blocks of the little branch beside a stage of that many: max(1, blocks // beta - 1)."""
        return max(1, blocks // self.beta - 1)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(
            f"{name} is not one of its choices.", f"{name}={value!r}", f"Use one of: {', '.join(choices)}."
        )

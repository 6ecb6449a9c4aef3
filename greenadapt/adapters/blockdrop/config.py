"""The options of BlockDrop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from greenadapt.adapters.options import check_share, check_whole
from greenadapt.errors import OptionError

POLICIES = ("learned", "spread", "first", "random")
EXECUTIONS = ("auto", "grouped", "gathered", "masked")


@dataclass(frozen=True)
class BlockDropConfig:
    """How to drop blocks.

    Attributes:
        keep: Share of the blocks to keep: what a fixed policy keeps, and what training of a learned one
            aims for. 1.0 keeps all and adds no policy network: the model is the base, bit for bit.
        policy: "learned" decides per image; "spread", "first" and "random" keep the same blocks always.
        policy_net: timm name of the policy's network; "auto" takes the paper's ResNet-8 up to 64 px and
            its ResNet-10 above.
        policy_downscale: The policy sees the image average-pooled by this factor.
        execution: How mixed paths in a batch are run: "auto", "grouped", "gathered" or "masked".
        seed: Of the "random" policy.

    Raises:
        OptionError: An option is out of range.
    """

    adapter: ClassVar[str] = "blockdrop"

    keep: float = 0.6
    policy: str = "learned"
    policy_net: str = "auto"
    policy_downscale: int = 2
    execution: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        check_share("keep", self.keep)
        check_whole("policy_downscale", self.policy_downscale, 1, 8)
        check_whole("seed", self.seed, 0, 2**63 - 1)
        for name, value, known in (
            ("policy", self.policy, POLICIES),
            ("execution", self.execution, EXECUTIONS),
        ):
            if value not in known:
                raise OptionError(
                    f"{name} is not known.", f"{name}={value!r}", f"Use one of: {', '.join(known)}."
                )

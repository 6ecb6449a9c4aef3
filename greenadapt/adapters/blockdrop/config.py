"""The options of BlockDrop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from greenadapt.adapters.options import check_share, check_whole, put
from greenadapt.errors import OptionError, did_you_mean

POLICIES = ("learned", "spread", "first", "random", "sensitivity")
OBJECTIVES = ("reinforce", "gumbel", "counterfactual")
GRANULARITIES = ("block", "branch")
EXECUTIONS = ("auto", "grouped", "gathered", "masked")
_MOST_PATHS = 4096
_UNMEASURED = "keeps every block until its path is found on images, by finetune or fixed.find_best_path"


@dataclass(frozen=True)
class BlockDropConfig:
    """How to drop blocks.

    Attributes:
        keep: Share of the blocks to keep: what a fixed policy keeps, and what training of a learned one
            aims for. 1.0 keeps all and adds no policy network: the model is the base, bit for bit.
        policy: "learned" decides per image; "spread", "first" and "random" keep the same blocks always, and
            so does "sensitivity": the best fixed path, found on images at the beginning of a training or by
            `greenadapt.adapters.blockdrop.fixed.find_best_path`; until then it keeps all.
        granularity: "block" drops whole residual blocks, "branch" attention and MLP by themselves, where a
            block has both; in a network without such blocks the two are the same.
        objective: How a learned policy is trained: "reinforce" as in the paper; "gumbel", by
            straight-through gradients from the best fixed path; or "counterfactual", by what one other
            decision would have done, for a network that was trained on a fixed path.
        paths: Most distinct paths that a learned policy may take; 0 is as many as it likes. The whole
            network is always one of them.
        policy_net: timm name of the policy's network; "auto" takes the paper's ResNet-8 up to 64 px, and
            above that a network that costs at most 5 % of the base, "policy_resnet8" or "policy_resnet6".
        policy_downscale: The policy sees the image average-pooled by this factor.
        execution: How mixed paths in a batch are run: "auto", "grouped", "gathered" or "masked".
        seed: Of the "random" policy; a training has its own.

    Raises:
        OptionError: An option is out of range.
    """

    adapter: ClassVar[str] = "blockdrop"

    keep: float = 0.6
    policy: str = "learned"
    granularity: str = "block"
    objective: str = "reinforce"
    paths: int = 0
    policy_net: str = "auto"
    policy_downscale: int = 2
    execution: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        put(
            self,
            keep=check_share("keep", self.keep),
            policy_downscale=check_whole("policy_downscale", self.policy_downscale, 1, 8),
            seed=check_whole("seed", self.seed, 0, 2**63 - 1),
            paths=check_whole("paths", self.paths, 0, _MOST_PATHS),
        )
        if not isinstance(self.policy_net, str):
            raise OptionError(
                "policy_net is not known.",
                f"policy_net={self.policy_net!r}",
                "Use 'auto' or the name of a timm network, such as 'resnet10t'.",
            )
        if self.paths == 1:
            raise OptionError(
                "One path for all images is a fixed policy.",
                "paths=1",
                "Use policy='sensitivity', or 2 or more.",
            )
        for name, known in (
            ("policy", POLICIES),
            ("granularity", GRANULARITIES),
            ("objective", OBJECTIVES),
            ("execution", EXECUTIONS),
        ):
            value = getattr(self, name)
            if value not in known:
                raise OptionError(
                    f"{name} is not known.",
                    f"{name}={value!r}; there are: {', '.join(known)}.",
                    did_you_mean(str(value), known) or "Use one of those.",
                )

    def notes(self, keeps_all: bool) -> list[str]:
        """What a reader of a description must know of a fixed path; nothing of a learned policy.

        Args:
            keeps_all: The path keeps every block as it stands.
        """
        if self.policy == "learned" and self.keep < 1:
            return []
        idle = [
            f"{name}={getattr(self, name)}"
            for name in ("objective", "paths", "policy_net", "policy_downscale")
            if getattr(self, name) != getattr(type(self), name)
        ]
        notes = [f"without effect, as the path is fixed: {', '.join(idle)}"] if idle else []
        if self.keep == 1:
            return [f"keep={self.keep} keeps every block and has no policy", *notes]
        return [*notes, _UNMEASURED] if self.policy == "sensitivity" and keeps_all else notes

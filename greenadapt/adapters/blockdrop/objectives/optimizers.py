"""SGD for the base and AdamW for the policy, in one optimiser.

The base is trained as it is under a fixed policy, so that the two can be compared; SGD is what most base
networks were trained with. The policy starts from little, and its gradients are of another size at each step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from greenadapt.adapters.distillation import decayed_groups

POLICY_RATE = 0.02
"""Learning rate of the policy as a fraction of the base's: 0.002 beside 0.1."""


class SgdAndAdamW(torch.optim.Optimizer):
    """Two optimisers that share one list of parameter groups, so that one schedule moves both.

    Args:
        base: Groups for SGD with Nesterov momentum.
        policy: Groups for AdamW.
        learning_rate: Of the base; the policy's is `POLICY_RATE` times that.
    """

    def __init__(
        self, base: list[dict[str, Any]], policy: list[dict[str, Any]], learning_rate: float
    ) -> None:
        self.parts: tuple[torch.optim.Optimizer, torch.optim.Optimizer] = (
            torch.optim.SGD(base, lr=learning_rate, momentum=0.9, nesterov=True),
            torch.optim.AdamW(policy, lr=POLICY_RATE * learning_rate),
        )
        super().__init__([{"params": group["params"]} for group in (*base, *policy)], {})
        self._share()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of both; a parameter without a gradient stays."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """The state of both, "base" and "policy"."""
        base, policy = self.parts
        return {"base": base.state_dict(), "policy": policy.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        for part, name in zip(self.parts, ("base", "policy"), strict=True):
            part.load_state_dict(state_dict[name])
        self._share()

    def _share(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def both(model: nn.Module, policy: nn.Module, learning_rate: float, weight_decay: float) -> SgdAndAdamW:
    """An optimiser of a model and the policy in it; norms and biases do not decay.

    Args:
        model: With the policy as one of its modules.
        policy: Which parameters are the policy's.
        learning_rate: The highest of the base.
        weight_decay: For weights.
    """
    own = {id(parameter) for parameter in policy.parameters()}
    base = decayed_groups(model, weight_decay)
    for group in base:
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in own]
    return SgdAndAdamW(base, decayed_groups(policy, weight_decay), learning_rate)

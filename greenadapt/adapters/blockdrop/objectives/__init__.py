"""How BlockDrop trains: one objective for each way to find a policy, and the plain one of fixed policies.

    stages.py            what all objectives of a learned policy share: modes, the base's loss, settling
    ├── reinforce.py     the paper's: a curriculum, rewards, a self-critical baseline, then joint training
    └── from_path.py     beyond it: both begin with a path, the best fixed one unless another was given
        ├── relaxed.py          straight-through gradients, on sampled paths
        └── counterfactual.py   what one flipped decision does, near paths the base is trained on
    fixed.py             a fixed policy: find its path if it must be found, then train plainly
    terms.py             the terms of the losses
    optimizers.py        SGD for the base and AdamW for the policy, in one

Where the paper's published code is at odds with itself, this is what is done here:

1. The policy gradient is averaged over the batch, in both stages; there it is summed in the second.
2. The entropy is that of a Bernoulli variable, both terms of it, over the free blocks only.
3. Batch norms see the samples that run a block and no others (see `BlockDrop.forward_under`), and the
   baseline's pass runs in eval mode and moves no statistics.
4. There is no value head: nothing trained it.
5. There is no variant that decides step by step: it could not run.
6. Wrong images get their penalty by `torch.where`; indexing by one minus a mask no longer runs, as little as
   what else there is of Python 2.

Beyond the paper, in `reinforce` too: a budget that aims at `keep`, and an entropy term that stays while
policy and base are trained together, where the published training drops it.

Source: Wu et al., "BlockDrop", CVPR 2018, sections 3.2 and 3.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from greenadapt.adapters.blockdrop.objectives.counterfactual import CounterfactualObjective
from greenadapt.adapters.blockdrop.objectives.fixed import FixedObjective
from greenadapt.adapters.blockdrop.objectives.reinforce import ReinforceObjective
from greenadapt.adapters.blockdrop.objectives.relaxed import RelaxedObjective
from greenadapt.adapters.blockdrop.objectives.stages import PolicyObjective

if TYPE_CHECKING:
    from greenadapt.adapters.blockdrop.adapter import BlockDrop
    from greenadapt.interfaces import Objective, Teacher

__all__ = [
    "CounterfactualObjective",
    "FixedObjective",
    "ReinforceObjective",
    "RelaxedObjective",
    "objective_of",
]

_LEARNED: dict[str, Callable[..., PolicyObjective]] = {
    "reinforce": ReinforceObjective,
    "gumbel": RelaxedObjective,
    "counterfactual": CounterfactualObjective,
}


def objective_of(model: BlockDrop, teacher: Teacher | None, epochs: int) -> Objective:
    """The objective that a model's options ask for.

    Args:
        model: A model under BlockDrop.
        teacher: A frozen network that is learned from as well, or None.
        epochs: Of the whole training.
    """
    if model.greenadapt_policy is None:
        return FixedObjective(model, teacher)
    return _LEARNED[model.greenadapt_config.objective](model, teacher, epochs)

"""Where a learned policy begins: with every block kept, with a path, or where a fixed path was trained to.

    a fresh wrap              keeps all                                    `policy_net.open_head`
    "gumbel" and the like     the best fixed path of the base              `begin_with`
    after a fixed path        that path, with the weights trained on it    `begin_from`

A policy and its base that are trained together from the start chase each other: the base must learn to do
without blocks while the policy still changes its mind about which. After a fixed path was trained, what is
left to learn is where an image needs less than that path, or more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from greenadapt.errors import ModelError, OptionError
from greenadapt.inspection import layers

SURE = 2.0
"""Logit of a policy's decisions on the path that it begins with: sigmoid(2) = 0.88."""
_OWN = "greenadapt_"


def begin_with(policy: Any, path: Sequence[bool]) -> None:
    """Has a policy decide for a path whatever the image, and leaves it within reach of a change.

    Args:
        policy: A `greenadapt.adapters.blockdrop.policy.Policy`.
        path: Whether each of the K blocks is kept.
    """
    for layer in last_layers(policy, len(path)):
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.copy_(torch.tensor([SURE if kept else -SURE for kept in path]))


def begin_from(model: nn.Module, fixed: nn.Module) -> None:
    """Has a model with a learned policy begin as one that was trained under a fixed path has ended.

    Its base gets those weights, its recipe their trainings, and its policy decides for that path whatever the
    image: both models give the same logits, up to what the way of running them rounds. A training goes on
    from there. Where `keep` is below the share of the path, the policy has to find the images that can do
    with less. If its paths are limited to a few, they are chosen anew.

    Args:
        model: Wrapped with ``policy="learned"`` and an objective that begins with a path, such as
            "counterfactual".
        fixed: Of the same base, wrapped with a fixed policy and trained; it is left as it is.

    Raises:
        ModelError: One of them is not such a model, its path keeps every block, or their bases differ.
        OptionError: The model's objective begins elsewhere.
    """
    path, begun = _path_of(fixed), _learned(model)
    _check_alike(model, fixed)
    own = {name: value for name, value in fixed.state_dict().items() if not name.startswith(_OWN)}
    model.load_state_dict(own, strict=False)
    begin_with(begun.greenadapt_policy, path.tolist())
    if begun.greenadapt_allowed is not None:
        begun.greenadapt_allowed.fill_(True)
    begun.greenadapt_recipe = _with_trainings(begun.greenadapt_recipe, fixed.greenadapt_recipe)


def last_layers(policy: Any, blocks: int) -> list[Any]:
    """The layers of a policy that give its logits, one for each classifier of its network."""
    heads = policy.net.get_classifier()
    return [
        [m for m in head.modules() if getattr(m, "bias", None) is not None and len(m.bias) == blocks][-1]
        for head in (heads if isinstance(heads, (tuple, list)) else [heads])
    ]


def _path_of(fixed: Any) -> Tensor:
    path = getattr(fixed, "greenadapt_path", None)
    if path is None:
        raise ModelError(
            "There is no fixed path to begin from.",
            f"{_named(fixed)} is not under BlockDrop with a fixed policy.",
            "Wrap with policy='sensitivity' or 'spread', fine-tune that, and begin from it.",
        )
    if path.is_meta or path.all():
        raise ModelError(
            "There is no fixed path to begin from.",
            f"The path of {_named(fixed)} {'has no values' if path.is_meta else 'keeps every block'}.",
            "Fine-tune it first: under policy='sensitivity' that is when its path is found.",
        )
    found: Tensor = path
    return found


def _learned(model: Any) -> Any:
    if getattr(model, "greenadapt_policy", None) is None:
        raise ModelError(
            "There is no policy that could begin from that path.",
            f"{_named(model)} is not under BlockDrop with a learned policy.",
            "Wrap with policy='learned', objective='counterfactual' and keep below 1.",
        )
    objective = model.greenadapt_config.objective
    if objective == "reinforce":
        raise OptionError(
            "This objective begins with every block kept, not with a path.",
            f"objective={objective!r}",
            "Use objective='counterfactual', or 'gumbel'.",
        )
    return model


def _check_alike(model: Any, fixed: Any) -> None:
    """Refuses a base with other tensors, other layers or other blocks, and says which comes first."""
    ours, theirs = _facts(model), _facts(fixed)
    for name in (*theirs, *ours):
        one, other = theirs.get(name, "not there"), ours.get(name, "not there")
        if one != other:
            raise ModelError(
                "The model cannot begin from that one: their bases differ.",
                f"{name[0].upper()}{name[1:]} is {one} in that one, and {other} here.",
                "Wrap the same network for both, with the same granularity.",
            )


def _facts(model: Any) -> dict[str, str]:
    facts = {f"the layer {name or 'at the root'}": told for name, told in layers(model).items()}
    facts |= {f"the tensor {name}": f"{tuple(v.shape)}" for name, v in model.state_dict().items()}
    facts = {what: told for what, told in facts.items() if f" {_OWN}" not in what}
    facts |= {f"the block {block.name}": f"{block.shortcut}" for block in model.greenadapt_found}
    return facts | {"the kind of tensors": "meta" if next(model.parameters()).is_meta else "with values"}


def _with_trainings(recipe: Any, ended: Any) -> Any:
    base = recipe.base.model_copy(update={"weights": ended.base.weights})
    kept = {"training": ended.training, "data_mean": ended.data_mean, "data_std": ended.data_std}
    return recipe.model_copy(update={"base": base, **kept})


def _named(model: Any) -> str:
    return str(getattr(type(model), "retrofit_base", type(model)).__name__)

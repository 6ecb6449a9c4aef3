"""Who is audited: names, references, recipes, and what a reader must know of the weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from greenadapt.errors import ModelError
from greenadapt.inspection import looks_untrained
from greenadapt.models import recipe_of
from greenadapt.profile import Execution, Subject
from greenadapt.recipe import Base, Recipe, Weights
from greenadapt.storage import weights_sha256

_ENGINES = "engine"


def subject_of(network: Callable[..., Any], name: str) -> Subject:
    """What can be said of a network before it runs; of an engine that is only called, little.

    Args:
        network: The caller's own, not the copy that is measured.
        name: What to call it.
    """
    recipe = recipe_or_class(network)
    module = network if isinstance(network, nn.Module) else None
    return Subject(
        name=name,
        reference=reference_of(network, recipe),
        recipe=recipe,
        weights_sha256=weights_sha256(module.state_dict()) if module is not None else None,
        weights="trained" if recipe.training else recipe.base.weights,
        parameters=sum(each.numel() for each in module.parameters()) if module is not None else None,
        macs_per_image=None,
    )


def remark_on(recipe: Recipe) -> str | None:
    """What the label of the weights does not say; None if it says all."""
    if recipe.base.source == _ENGINES:
        return (
            "An engine that is only called: its precision is that of the images given to it, and its weights "
            "are unknown."
        )
    if recipe.adapter is None or recipe.base.weights == "random" or _trained_since_wrapped(recipe):
        return None
    return (
        "The retrofit was not fine-tuned since it was wrapped: its accuracy and what it runs are not what "
        "training makes of them."
    )


def remark_on_path(recipe: Recipe, run: Execution | None) -> str | None:
    """What a policy is worth that decided alike for all images; None of any other network."""
    if recipe.options.get("policy") != "learned" or not _trained_since_wrapped(recipe):
        return None
    if run is None or run.paths > 1 or not run.images or run.images == 1:
        return None
    return (
        f"The policy sent all {run.images:,} images along one path, so what it costs bought nothing: "
        "greenadapt.adapters.blockdrop.static.static_path makes that path a network without a policy."
    )


def _trained_since_wrapped(recipe: Recipe) -> bool:
    # Recipes of greenadapt 0.1 do not name the adapter; the objective's name begins with it.
    return any(recipe.adapter in (run.adapter, run.objective.split()[0]) for run in recipe.training)


def recipe_or_class(network: Callable[..., Any]) -> Recipe:
    """The recipe of a network; for one that nobody knows, a note of its class."""
    if not isinstance(network, nn.Module):
        kind = network if hasattr(network, "__qualname__") else type(network)
        return Recipe(base=Base(source=_ENGINES, name=_dotted(kind), weights="unknown"))
    try:
        return recipe_of(network)
    except ModelError:
        weights: Weights = "random" if looks_untrained(network) else "trained"
        return Recipe(base=Base(source="python", name=_dotted(type(network)), weights=weights))


def reference_of(network: Callable[..., Any], recipe: Recipe) -> str:
    """How to open a network again; what is wrapped but not saved is named by its base and its adapter."""
    reference = getattr(network, "greenadapt_reference", None)
    if reference is not None:
        return str(reference)
    return recipe.base.reference + (f" + {recipe.adapter}" if recipe.adapter is not None else "")


def default_name(network: Callable[..., Any]) -> str:
    """A short name for tables."""
    reference = getattr(network, "greenadapt_reference", None)
    if reference is not None:
        return str(reference).rstrip("/").rpartition("/")[2].rpartition(":")[2]
    recipe = recipe_or_class(network)
    if recipe.base.source == _ENGINES:
        return recipe.base.name.rpartition(".")[2].strip("<>")
    return recipe.base.name + (f"-{recipe.adapter}" if recipe.adapter is not None else "")


def _dotted(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"

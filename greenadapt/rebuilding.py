"""From a recipe back to a model: what is noted of a network so that it can be built again, and the building.

network ── inferred_recipe ──> recipe ── rebuilt ──> network of the same shapes ── check_fit ──> weights
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import greenadapt
from greenadapt import inspection, plugins, storage
from greenadapt.errors import ModelError, OptionError, did_you_mean
from greenadapt.interfaces import Adapter
from greenadapt.recipe import Base, Recipe

if TYPE_CHECKING:
    from torch import nn


def with_recipe(model: nn.Module, recipe: Recipe) -> nn.Module:
    """The model, which carries this recipe from now on."""
    model.greenadapt_recipe = recipe  # type: ignore[assignment]
    return model


def inferred_recipe(model: nn.Module) -> Recipe:
    """The recipe of a plain timm model that carries none.

    Raises:
        ModelError: It cannot be told where the model comes from.
    """
    cfg = getattr(model, "pretrained_cfg", None)
    if not cfg or not cfg.get("architecture"):
        raise ModelError(
            f"greenadapt cannot tell where this {type(model).__name__} comes from.",
            "It has no pretrained_cfg with an architecture, as timm's models do.",
            "Open it with greenadapt.open_model, so that it can be built again later.",
        )
    classes = getattr(model, "num_classes", None)
    if classes is None:
        raise ModelError(
            f"This {type(model).__name__} gives no logits.",
            "It has no num_classes, as a network has that was made with features_only=True.",
            "Retrofit the whole network; its features are those of forward_intermediates.",
        )
    args: dict[str, Any] = {"num_classes": classes, "in_chans": inspection.input_shape(model)[0]}
    args |= getattr(model, "model_args", {})
    tag = cfg.get("tag")
    untrained = inspection.looks_untrained(model)
    base = Base(
        name=cfg["architecture"] + (f".{tag}" if tag and not untrained else ""),
        model_args=args,
        weights="random" if untrained else "trained",
    )
    return Recipe(greenadapt_version=greenadapt.__version__, base=base)


def with_classifier(recipe: Recipe, model: nn.Module) -> Recipe:
    """The recipe for the classifier that the model has now: timm's reset_classifier changes it."""
    args = dict(recipe.base.model_args)
    if (classes := getattr(model, "num_classes", None)) is not None:
        args["num_classes"] = classes
    pool = getattr(getattr(model, "global_pool", None), "pool_type", None)
    if isinstance(pool, str) and args.get("global_pool", "avg") != pool:
        args["global_pool"] = pool
    return recipe.model_copy(update={"base": recipe.base.model_copy(update={"model_args": args})})


def config_of(adapter: Adapter, options: dict[str, Any]) -> Any:
    """The adapter's config object with these options.

    Raises:
        OptionError: An option is unknown or out of range.
    """
    known = {field.name: field for field in fields(adapter.config)}
    for option in options:
        if option not in known:
            raise OptionError(
                f"The adapter {adapter.name!r} has no option {option!r}.",
                f"It has: {', '.join(f'{f.name}={f.default!r}' for f in known.values())}.",
                did_you_mean(option, known) or "Use one of those.",
            )
    return adapter.config(**options)


def rename(model: nn.Module, adapter: str) -> None:
    """Gives a retrofit a name of its own: timm publishes by architecture, and that would load the base."""
    cfg = getattr(model, "pretrained_cfg", None)
    if cfg:
        renamed = {
            **cfg,
            "architecture": storage.architecture_name(cfg.get("architecture") or "model", adapter),
        }
        model.pretrained_cfg = model.default_cfg = renamed  # type: ignore[assignment]


def rebuilt(recipe: Recipe) -> nn.Module:
    """A model of this recipe, its weights at random.

    Raises:
        ModelError: Its source has no such model, or its adapter cannot work on it.
    """
    base = recipe.base
    model: nn.Module = plugins.model_source(base.source).open(base.name, False, base.model_args)
    if recipe.adapter is None:
        return model
    adapter = plugins.adapter(recipe.adapter)
    # What an adapter reads off the base, such as the size of its images, must be as when it wrapped it.
    before = [run for run in recipe.training if run.adapter is None]
    plain = recipe.model_copy(update={"adapter": None, "options": {}, "training": before})
    wrapped = adapter.wrap(with_recipe(model, plain), config_of(adapter, recipe.options))
    rename(wrapped, recipe.adapter)
    return wrapped


def check_rebuilds(recipe: Recipe, model: nn.Module) -> None:
    """Refuses a recipe that would not build a model again.

    Raises:
        ModelError: Names or shapes of its tensors differ, or layers that have none: another activation or
            pooling leaves no trace in the tensors, and gives other logits.
    """
    import torch

    try:
        with torch.device("meta"):
            again = rebuilt(recipe)
    except (RuntimeError, NotImplementedError):
        # Some constructors compute with their tensors, which meta tensors do not have.
        again = rebuilt(recipe)
    happened = f"{recipe.base.reference} with {recipe.base.model_args} does not build this model again."
    todo = (
        "Pass what it was created with: greenadapt.wrap(..., model_args={...}). The weights of this one fit "
        "that one: load_state_dict loses no training."
    )
    check_fit(again.state_dict(), model.state_dict(), happened, todo)
    mine, others = inspection.layers(model), inspection.layers(again)
    for name in (*mine, *others):
        if mine.get(name) != others.get(name):
            seen = f"{name or 'It'} is {mine.get(name, 'not there')}, not {others.get(name, 'there')}."
            raise ModelError(happened, seen, todo)


def check_fit(expected: dict[str, Any], found: dict[str, Any], happened: str, todo: str = "") -> None:
    """Refuses tensors of other names or shapes than are expected, and numbers in the place of booleans.

    Args:
        expected: Tensors by name.
        found: Likewise.
        happened: First line of the error.
        todo: Last line of it.

    Raises:
        ModelError: They differ; the error says where.
    """
    shapes = {name: _form(tensor) for name, tensor in expected.items()}
    others = {name: _form(tensor) for name, tensor in found.items()}
    if shapes == others:
        return
    reshaped = [
        f"{n} is {others[n]}, not {shapes[n]}" for n in shapes if n in others and shapes[n] != others[n]
    ]
    seen = [
        f"{label}: {_first(names)}"
        for label, names in (
            ("missing", [n for n in shapes if n not in others]),
            ("unexpected", [n for n in others if n not in shapes]),
            ("of another form", reshaped),
        )
        if names
    ]
    raise ModelError(
        happened, "; ".join(seen) + ".", todo or "Load the folder that belongs to these weights."
    )


def _form(tensor: Any) -> str:
    """Its shape, and whether it holds booleans; in which precision numbers are, is not asked."""
    kind = "bool " if str(tensor.dtype) == "torch.bool" else ""
    return f"{kind}{tuple(tensor.shape)}"


def _first(names: Iterable[str], limit: int = 3) -> str:
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

"""Open a model by reference, wrap it, describe it, save it, load it.

    reference ── open_model ──> network ── wrap ──> retrofit ── save ──> folder ── load ──> retrofit
                                   └────────── recipe_of ──────────┘

The recipe travels with the model as its attribute ``greenadapt_recipe``; a plain timm model that has
none gets one inferred.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import greenadapt
from greenadapt import plugins, rebuilding, storage
from greenadapt.errors import ModelError, OptionError
from greenadapt.interfaces import Adapter, Description
from greenadapt.profile import Profile
from greenadapt.recipe import Base, Recipe

if TYPE_CHECKING:
    from torch import nn

_DEFAULT_SOURCE = "timm"


def open_model(reference: str | Path, *, pretrained: bool = True, **model_args: Any) -> nn.Module:
    """Opens a network by reference, in eval mode.

    Args:
        reference: A timm name with or without tag ("resnet50.a1_in1k"), a name with a source's
            prefix ("timm:", "hf-hub:", "local-dir:", "embedded:", "ibm:", or a plugin's), or a folder that
            `save` wrote.
        pretrained: Load the published weights; False leaves them random, and every profile says so.
        **model_args: Passed to the source, such as ``num_classes`` and ``in_chans``.

    Raises:
        ModelError: No such model or source, or its weights cannot be had.
        OptionError: Arguments were given for a saved model, which is opened as it was saved.
    """
    folder = saved_folder(reference)
    if folder is not None:
        _check_as_saved(reference, pretrained, model_args)
        model = load(folder)
        model.greenadapt_reference = str(reference)  # type: ignore[assignment]
        return model
    prefix, name = _split(reference)
    model = plugins.model_source(prefix).open(name, pretrained, model_args)
    base = getattr(model, "greenadapt_base", None) or Base(
        source=prefix,
        name=name,
        model_args={**getattr(model, "model_args", {}), **model_args},
        weights="pretrained" if pretrained else "random",
    )
    return rebuilding.with_recipe(model, Recipe(greenadapt_version=greenadapt.__version__, base=base))


def saved_folder(reference: str | Path) -> Path | None:
    """The folder of a saved model that a reference stands for, or None for a plain network.

    Raises:
        ModelError: There is no such source, or it has no such model.
    """
    if storage.is_model_folder(reference):
        return Path(reference)
    prefix, name = _split(reference)
    folder: Path | None = getattr(plugins.model_source(prefix), "resolve_folder", lambda _: None)(name)
    return folder


def recipe_of(model: nn.Module) -> Recipe:
    """The recipe that a model carries, or the one inferred for a plain timm model.

    Raises:
        ModelError: The model does not come from timm and carries no recipe.
    """
    recipe = getattr(model, "greenadapt_recipe", None)
    return recipe if isinstance(recipe, Recipe) else rebuilding.inferred_recipe(model)


def wrap(
    model: nn.Module,
    adapter: str | Any,
    *,
    inplace: bool = False,
    model_args: dict[str, Any] | None = None,
    **options: Any,
) -> nn.Module:
    """Retrofits a model so that it can spend less.

    Args:
        model: A plain network; it is left as it is.
        adapter: An adapter's name with its options as keywords, or its config object.
        inplace: Change `model` itself, which saves the memory of a copy.
        model_args: What the network was created with, where it cannot be told from the network.
        **options: The adapter's options.

    Returns:
        A new network (the same object with `inplace`).

    Raises:
        ModelError: The model is wrapped already, or has nothing that the adapter can work on.
        OptionError: An option is unknown or out of range.
    """
    name = adapter if isinstance(adapter, str) else getattr(adapter, "adapter", type(adapter).__name__)
    implementation: Adapter = plugins.adapter(name)
    if options and not isinstance(adapter, str):
        raise OptionError(
            "Options were given beside a config object.",
            ", ".join(f"{option}={value!r}" for option, value in options.items()),
            f"Put them into {type(adapter).__name__}, or name the adapter: wrap(model, {name!r}, ...).",
        )
    config = rebuilding.config_of(implementation, options) if isinstance(adapter, str) else adapter
    recipe = recipe_of(model)
    if recipe.adapter is not None:
        raise ModelError(
            "This model is wrapped already.",
            f"{recipe.base.reference} carries the adapter {recipe.adapter!r}.",
            "Wrap the plain model: greenadapt.open_model(...) or timm.create_model(...).",
        )
    if model_args is not None:
        recipe = recipe.model_copy(update={"base": recipe.base.model_copy(update={"model_args": model_args})})
    training = model.training
    target = model if inplace else copy.deepcopy(model)
    with _whole_or_not_at_all(target):
        wrapped = implementation.wrap(target, config)
        inherit = getattr(implementation, "inherit", None)
        # Beside random weights there is nothing to be gained by a download.
        if inherit is not None and recipe.base.weights != "random":
            inherit(wrapped, open_model)
    wrapped.train(training)
    rebuilding.rename(wrapped, name)
    # A copy carries its base's attributes, and the base's reference would open the base.
    wrapped.__dict__.pop("greenadapt_reference", None)
    # An adapter may have decided what an option leaves open, and says so on the model.
    decided = getattr(wrapped, "greenadapt_config", config)
    done = recipe.model_copy(update={"adapter": name, "options": asdict(decided)})
    return rebuilding.with_recipe(wrapped, done)


def describe(model: nn.Module) -> Description:
    """What an adapter changed in a model; print it.

    Raises:
        ModelError: The model comes from nowhere that greenadapt knows.
    """
    recipe = recipe_of(model)
    if recipe.adapter is None:
        count = sum(p.numel() for p in model.parameters())
        return Description(
            f"{recipe.base.reference}, not wrapped", parameters_before=count, parameters_after=count
        )
    description: Description = plugins.adapter(recipe.adapter).describe(model)
    return description


def save(
    model: nn.Module, folder: str | Path, *, profile: Profile | None = None, overwrite: bool = False
) -> Path:
    """Writes a model to a folder: weights as safetensors, recipe, model card; no pickle.

    Args:
        model: A retrofit, or a plain network of a known source.
        folder: A new or empty folder.
        profile: The efficiency profile to keep beside it.
        overwrite: Replace a saved model that is there already.

    Returns:
        The folder.

    Raises:
        StorageError: The folder cannot be written; nothing is left half-written.
        ModelError: The recipe would not build this model again.
    """
    from greenadapt.pages.card import model_card

    recipe = rebuilding.with_classifier(recipe_of(model), model)
    state = model.state_dict()
    rebuilding.check_rebuilds(recipe, model)
    files = storage.model_files(state, recipe)
    if profile is not None:
        files[storage.PROFILE_FILE] = profile.to_json().encode()
    files[storage.CARD_FILE] = model_card(recipe, profile).encode()
    return storage.write_folder(folder, files, overwrite)


def load(folder: str | Path) -> nn.Module:
    """Reads a model that `save` wrote; its logits are those of the saved one.

    Args:
        folder: The folder, or a reference with a source's prefix that `open_model` opens, such as
            "ibm:FILE.pth.tar" or "embedded:resnet20".

    Returns:
        The network in eval mode, on the CPU.

    Raises:
        StorageError: There is no saved model, or its weights cannot be read.
        RecipeError: The recipe is newer than this greenadapt.
        ModelError: The weights do not fit the recipe, or the source has no such model.
    """
    prefix, colon, _ = str(folder).partition(":")
    if colon and prefix in plugins.model_sources() and not Path(folder).exists():
        return open_model(folder)
    recipe = storage.read_recipe(folder)
    model = rebuilding.rebuilt(recipe)
    tensors = storage.read_tensors(folder)
    rebuilding.check_fit(model.state_dict(), tensors, f"The weights in {folder} do not fit their recipe.")
    model.load_state_dict(tensors)
    model.greenadapt_reference = str(folder)  # type: ignore[assignment]
    return rebuilding.with_recipe(model.eval(), recipe)


@contextmanager
def _whole_or_not_at_all(model: nn.Module) -> Iterator[None]:
    """Gives every module the class and the attributes it had if an error, or Ctrl-C, ends the context."""
    before = [(module, type(module), dict(vars(module))) for module in model.modules()]
    stores = [value for *_, held in before for value in held.values() if isinstance(value, dict)]
    contents = [(store, dict(store)) for store in stores]
    try:
        yield
    except BaseException:
        for module, kind, held in before:
            module.__class__ = kind
            vars(module).clear()
            vars(module).update(held)
        # In place: the handle of a hook knows the dict that it was hung into.
        for store, content in contents:
            store.clear()
            store.update(content)
        raise


def _split(reference: str | Path) -> tuple[str, str]:
    prefix, colon, name = str(reference).partition(":")
    return (prefix, name) if colon else (_DEFAULT_SOURCE, str(reference))


def _check_as_saved(reference: str | Path, pretrained: bool, model_args: dict[str, Any]) -> None:
    """Refuses what would be ignored: a saved model has its weights and arguments with it."""
    if pretrained and not model_args:
        return
    given = [] if pretrained else ["random weights"]
    given += [f"{name}={value!r}" for name, value in model_args.items()]
    raise OptionError(
        f"{reference} is a saved model, and is opened as it was saved.",
        f"Asked for: {', '.join(given)}.",
        "Leave that out, or open the plain network by its name.",
    )

"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import click

from greenadapt.cli import output
from greenadapt.errors import OptionError, did_you_mean

Function = TypeVar("Function", bound=Callable[..., Any])


def verbosity(command: Function) -> Function:
    """Adds ``-v``: ``-vv`` shows tracebacks."""

    def note(context: click.Context, _: click.Parameter, count: int) -> None:
        output.raise_verbosity(context, count)

    return click.option(
        "-v",
        "--verbose",
        count=True,
        is_eager=True,
        expose_value=False,
        callback=note,
        help="Say more; -vv shows the traceback of an error.",
    )(command)


def json_option(command: Function) -> Function:
    """Adds ``--json`` and ``-v``, which every command has."""
    option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
    return verbosity(option(command))


def packed(name: str, *options: Callable[[Function], Function]) -> Callable[[Function], Function]:
    """Adds options whose values the command gets as one dictionary.

    Args:
        name: Parameter of the command that takes the dictionary.
        *options: What `click.option` returns, in the order of the help page.
    """

    def decorate(command: Function) -> Function:
        def probe() -> None:
            """Collects the options, to learn their names."""

        for option in reversed(options):
            option(probe)
        names = [parameter.name for parameter in probe.__click_params__]  # type: ignore[attr-defined]

        @functools.wraps(command)
        def pack(*args: Any, **values: Any) -> Any:
            mine = {each: values.pop(each) for each in names}
            return command(*args, **{name: mine}, **values)

        wrapped = cast(Function, pack)
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


model_options = packed(
    "opening",
    click.option("--no-pretrained", is_flag=True, help="Random weights; every profile says so."),
    click.option("--num-classes", type=click.IntRange(min=1), help="Classes of the model's last layer."),
    click.option("--in-chans", type=click.IntRange(min=1), help="Channels of the images."),
    click.option(
        "--model-arg",
        "model_args",
        multiple=True,
        metavar="KEY=VALUE",
        help="Further argument for the model's constructor; may be repeated.",
    ),
)
"""Adds what it takes to open a model by reference, as ``opening``; `open_model` takes it."""


def open_model(reference: str, opening: Mapping[str, Any], *, saved_as_is: bool = False) -> Any:
    """Opens a model with the values of `model_options`.

    Args:
        reference: The model.
        opening: The values.
        saved_as_is: They are meant for plain networks; a saved model is opened without them.

    Raises:
        ModelError: No such model or source, or its weights cannot be had.
        OptionError: A further argument is malformed.
    """
    from greenadapt import models

    if saved_as_is and models.saved_folder(reference) is not None:
        return models.open_model(reference)
    arguments = {name: opening[name] for name in ("num_classes", "in_chans") if opening[name] is not None}
    for name, text in pairs(opening["model_args"], "--model-arg").items():
        arguments[name] = plain_value(text)
    return models.open_model(reference, pretrained=not opening["no_pretrained"], **arguments)


def pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Splits KEY=VALUE texts.

    Args:
        texts: As given on the command line.
        option: Their option, for an error.

    Raises:
        OptionError: A text has no key, no equals sign, or a key that was given before.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise OptionError(
                f"{text!r} is not KEY=VALUE.", f"It was given to {option}.", "Write it like keep=0.6."
            )
        if key in found:
            raise OptionError(
                f"{key!r} is given twice.", f"{option} {key}={found[key]} and {text}", "Give it once."
            )
        found[key] = value
    return found


def plain_value(text: str) -> Any:
    """A number, true, false, null or a list where the text is one in JSON, else the text itself."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except json.JSONDecodeError:
        return text


def adapter_options(adapter: str, texts: Sequence[str]) -> dict[str, Any]:
    """Reads ``-o key=value`` by the types of the adapter's config.

    Args:
        adapter: The adapter's name.
        texts: As given on the command line.

    Raises:
        OptionError: An option is unknown, or its value has another type.
        PluginError: There is no such adapter.
    """
    from dataclasses import fields
    from typing import get_type_hints

    from greenadapt import plugins

    config = plugins.adapter(adapter).config
    types, defaults = get_type_hints(config), {field.name: field.default for field in fields(config)}
    values = {}
    for key, text in pairs(texts, "-o").items():
        if key not in defaults:
            known = ", ".join(f"{name}={default}" for name, default in defaults.items())
            raise OptionError(
                f"The adapter {adapter!r} has no option {key!r}.",
                f"It has: {known}.",
                did_you_mean(key, defaults) or f"See: greenadapt adapters list --adapter {adapter}",
            )
        values[key] = _typed(key, text, types[key])
    return values


def _typed(key: str, text: str, kind: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError

    value = plain_value(text)
    try:
        return TypeAdapter(kind).validate_python(value if isinstance(value, list) or value is None else text)
    except ValidationError as error:
        raise OptionError(
            f"The option {key}={text} cannot be read.",
            f"{error.errors()[0]['msg']}.",
            f"It takes: {_in_words(kind)}.",
        ) from error


def _in_words(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return getattr(kind, "__name__", None) or str(kind).replace("typing.", "")


def seed_weights(seed: int) -> None:
    """Seeds torch before a network is built: random weights are part of what a seed decides."""
    import torch

    torch.manual_seed(seed)

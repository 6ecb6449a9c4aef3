"""``greenadapt models|adapters|meters|plugins list``: what is there."""

from __future__ import annotations

import inspect
import re
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from greenadapt.cli import output
from greenadapt.cli.options import json_option
from greenadapt.tables import Column

if TYPE_CHECKING:
    from greenadapt.interfaces import Provider

_NAMED = (Column("name", "left"), Column("what it is", "left"))
_MEANING = 60
_ENTRY = re.compile(r" {4}(\w+): (.*)")


@click.group()
def models() -> None:
    """Networks that can be opened by name."""


@models.command("list")
@click.argument("pattern", default="*")
@click.option("--source", help="Only this source, such as timm or torchvision.")
@json_option
def list_models(pattern: str, source: str | None, as_json: bool) -> None:
    """List the networks whose name matches PATTERN, such as 'resnet*'."""
    from greenadapt import plugins
    from greenadapt.errors import ModelError

    sources = [source] if source else list(plugins.model_sources())
    names = [f"{each}:{name}" for each in sources for name in plugins.model_source(each).names(pattern)]
    if not names:
        raise ModelError(
            f"No network matches {pattern!r}.",
            f"Asked: {', '.join(sources)}.",
            f"Try a wider pattern: greenadapt models list '*{pattern.strip('*')}*'",
        )
    if as_json:
        output.result_json(names)
    else:
        output.result("\n".join(names))


@click.group()
def adapters() -> None:
    """Ways to make a model spend less."""


@adapters.command("list")
@click.option("--adapter", help="The options of this adapter: what they mean, and their defaults.")
@json_option
def list_adapters(adapter: str | None, as_json: bool) -> None:
    """List the adapters, or the options of one."""
    from greenadapt import plugins

    if adapter is None:
        _show_providers(plugins.adapters(), as_json)
        return
    from dataclasses import fields

    config = plugins.adapter(adapter).config
    meanings = _meanings(config)
    options = [
        {
            "name": field.name,
            "type": str(field.type),
            "default": field.default,
            "meaning": meanings.get(field.name, ""),
        }
        for field in fields(config)
    ]
    if as_json:
        output.result_json(options)
        return
    columns = [Column(title, "left") for title in ("option", "type", "default", "meaning")]
    rows = [[*map(str, option.values())] for option in options]
    output.result_table(columns, [[*row[:3], textwrap.fill(row[3], _MEANING)] for row in rows])


def _meanings(config: type) -> dict[str, str]:
    """What the options mean, by name, as the section Attributes of the config's docstring says."""
    found: dict[str, str] = {}
    _, _, section = inspect.cleandoc(config.__doc__ or "").partition("\nAttributes:\n")
    for line in section.split("\n\n")[0].splitlines():
        entry = _ENTRY.match(line)
        if entry is not None:
            name, found[entry[1]] = entry[1], entry[2]
        elif found:
            found[name] += f" {line.strip()}"
    return found


@click.group()
def meters() -> None:
    """Instruments that read joules."""


@meters.command("list")
@json_option
def list_meters(as_json: bool) -> None:
    """List the meters in the order that "auto" tries them; `doctor` says which work here."""
    from greenadapt import plugins

    _show_providers(plugins.meters(), as_json)


@click.group()
def plugins() -> None:
    """What is plugged in."""


@plugins.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the plugins with their hooks, and what is wrong with them."""
    from greenadapt import plugins as loader

    registry = loader.registry()
    if as_json:
        output.result_json([asdict(record) for record in registry.plugins])
        return
    columns = [Column(title, "left") for title in ("plugin", "distribution", "version", "status", "hooks")]
    rows = [
        [
            record.name,
            record.distribution or "",
            record.version or "",
            record.status,
            "\n".join(hook.removeprefix("greenadapt_") for hook in record.hooks),
        ]
        for record in registry.plugins
    ]
    output.result_table(columns, rows)
    for problem in registry.problems:
        output.say(f"\n{problem}")


def _show_providers(providers: dict[str, Provider], as_json: bool) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [
            {"name": each.name, "summary": each.summary, "extra": each.extra} for each in providers.values()
        ]
        output.result_json(rows)
    else:
        output.result_table(_NAMED, [[each.name, each.summary] for each in providers.values()])

"""Plugins: load, report, look up.

    greenadapt.builtins ─────────────┐
    entry points of "greenadapt" ────┼──> examine ──> register ──> ask for providers ──> look up by name
    objects given to `load` ─────────┘       │            │                │
                                             └────────────┴── problems ────┘

A plugin can fail alone: whatever one of them does wrong is reported, and the others work on. What ships
with greenadapt comes in through the same hooks as anybody's plugin. The steps are in
`greenadapt.plugins.rules` (examine) and `greenadapt.plugins.registry` (the rest).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import pluggy

from greenadapt import hookspecs
from greenadapt.errors import PluginError, did_you_mean
from greenadapt.interfaces import Adapter, MeterFactory, ModelSource, Provider, Publisher
from greenadapt.plugins.registry import PluginRecord as PluginRecord
from greenadapt.plugins.registry import ProviderKind, failure
from greenadapt.plugins.registry import Registry as Registry

SELECTION = "GREENADAPT_PLUGINS"
"""Environment variable: '' loads none of the installed plugins, 'a,b' loads those, unset loads all."""


def load(
    *,
    builtins: bool = True,
    entry_points: bool = True,
    selection: str | None = None,
    extra: Iterable[object] = (),
) -> Registry:
    """Loads plugins into a registry of their own; most callers want `registry`.

    Args:
        builtins: Include what ships with greenadapt.
        entry_points: Include the installed plugins.
        selection: Names of the installed plugins to load, separated by commas; '' for none. None asks
            the environment variable ``GREENADAPT_PLUGINS``, and loads all if it is not set.
        extra: Further plugin objects, for tests.

    Returns:
        The registry; see its `problems`. A plugin at fault never raises here.
    """
    loaded = Registry()
    if builtins:
        from greenadapt import __version__
        from greenadapt import builtins as shipped

        loaded.add(shipped, PluginRecord("builtins", "greenadapt", __version__))
    if entry_points:
        _add_installed(loaded, os.environ.get(SELECTION) if selection is None else selection)
    for plugin in extra:
        loaded.add(plugin, PluginRecord(getattr(plugin, "__name__", type(plugin).__name__)))
    loaded.ask_for_providers()
    return loaded


def registry() -> Registry:
    """The plugins of this process, loaded at the first call, whichever thread makes it.

    Raises:
        PluginError: A plugin asked for the plugins while it was itself being loaded.
    """
    return _process.registry()


def adapters() -> dict[str, Provider]:
    """All adapters on offer; see `Registry.providers`."""
    return registry().providers("adapter")


def meters() -> dict[str, Provider]:
    """All meters on offer, in the order in which "auto" tries them; see `Registry.providers`."""
    return registry().providers("meter")


def model_sources() -> dict[str, Provider]:
    """All model sources on offer; see `Registry.providers`."""
    return registry().providers("model_source")


def publishers() -> dict[str, Provider]:
    """All publishers on offer; see `Registry.providers`."""
    return registry().providers("publisher")


def find(kind: ProviderKind, name: str) -> Any:
    """One thing by its kind and name; see `Registry.find`."""
    return registry().find(kind, name)


def adapter(name: str) -> Adapter:
    """The adapter of that name; see `Registry.find`."""
    found: Adapter = find("adapter", name)
    return found


def meter(name: str) -> MeterFactory:
    """The meter of that name; see `Registry.find`."""
    found: MeterFactory = find("meter", name)
    return found


def model_source(name: str) -> ModelSource:
    """The model source of that name, which is the prefix in ``timm:resnet50``; see `Registry.find`."""
    found: ModelSource = find("model_source", name)
    return found


def publisher(name: str) -> Publisher:
    """The publisher of that name; see `Registry.find`."""
    found: Publisher = find("publisher", name)
    return found


def hook() -> pluggy.HookRelay:
    """The hooks, to be called: ``hook().greenadapt_run_audit(request=...)``."""
    return registry().hook


class _Process:
    """The one registry of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.loading = False
        self.loaded: Registry | None = None

    def registry(self) -> Registry:
        with self.lock:
            if self.loaded is None:
                if self.loading:
                    raise PluginError(
                        "A plugin asked for the list of plugins while it was being loaded.",
                        "The list is not complete before all plugins are loaded.",
                        "Ask for it inside a function, not while the module is imported.",
                    )
                self.loading = True
                try:
                    self.loaded = load()
                finally:
                    self.loading = False
            return self.loaded


_process = _Process()


def _add_installed(loaded: Registry, selection: str | None) -> None:
    # In reverse, because pluggy calls the plugin registered last first: so they are called by name.
    entries = sorted(metadata.entry_points(group=hookspecs.PROJECT), key=_key, reverse=True)
    names = [entry.name for entry in entries]
    wanted = _wanted(loaded, selection, names)
    for entry in entries:
        record = PluginRecord(entry.name, *_key(entry)[1:])
        if entry.name in wanted:
            _import(loaded, entry, record)
        else:
            record.status = "disabled"
            loaded.plugins.append(record)
    _report_shared_names(loaded, [record for record in loaded.plugins if record.name in wanted])


def _key(entry: metadata.EntryPoint) -> tuple[str, str, str]:
    distribution = entry.dist
    if distribution is None:
        return entry.name, "unknown distribution", ""
    return entry.name, distribution.name or "unknown distribution", distribution.version or ""


def _wanted(loaded: Registry, selection: str | None, names: list[str]) -> set[str]:
    if selection is None:
        return set(names)
    asked = {name.strip() for name in selection.split(",")} - {""}
    for name in sorted(asked - set(names)):
        there = f"Installed are: {', '.join(sorted(set(names)))}." if names else "No plugin is installed."
        loaded.problems.append(
            PluginError(
                f"{SELECTION} names a plugin that is not installed: {name!r}.",
                there,
                did_you_mean(name, names) or "Install it, or take it out of the list.",
            )
        )
    return asked


def _import(loaded: Registry, entry: metadata.EntryPoint, record: PluginRecord) -> None:
    try:
        plugin = entry.load()
    except (Exception, SystemExit) as error:  # a module may raise anything when imported
        record.status = "failed"
        loaded.plugins.append(record)
        loaded.report(record, failure(record, "could not be imported", error))
    else:
        loaded.add(plugin, record)


def _report_shared_names(loaded: Registry, records: list[PluginRecord]) -> None:
    by_name: dict[str, list[PluginRecord]] = {}
    for record in records:
        by_name.setdefault(record.name, []).append(record)
    for name, same in by_name.items():
        if len(same) > 1:
            origins = " and from ".join(str(record.distribution) for record in same)
            problem = PluginError(
                f"Two installed plugins are both called {name!r}.",
                f"They come from {origins}; both are loaded.",
                "Uninstall one of them: GREENADAPT_PLUGINS cannot tell them apart.",
            )
            loaded.report(same[0], problem, *same[1:])

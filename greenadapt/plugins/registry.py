"""The registry: the plugins of one process, what they offer, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pluggy

from greenadapt import hookspecs
from greenadapt.errors import GreenadaptError, ModelError, OptionError, PluginError, did_you_mean
from greenadapt.interfaces import Provider
from greenadapt.plugins.rules import PROVIDER_HOOKS, check_providers, examine

if TYPE_CHECKING:
    import click

ProviderKind = Literal["adapter", "meter", "model_source", "publisher"]
Status = Literal["active", "failed", "disabled"]


@dataclass
class PluginRecord:
    """One plugin, and what became of it.

    Attributes:
        name: Its entry point, "builtins" for what ships with greenadapt.
        distribution: The package that brought it; None for an object given to `load`.
        version: That package's version.
        hooks: Names of the hooks that it implements.
        status: "active"; "failed", and nothing of it is used; or "disabled" by ``GREENADAPT_PLUGINS``.
        problem: What is wrong with it, if anything; an active plugin may have a problem too.
    """

    name: str
    distribution: str | None = None
    version: str | None = None
    hooks: tuple[str, ...] = ()
    status: Status = "active"
    problem: str | None = None

    @property
    def label(self) -> str:
        """The plugin with its distribution, as errors name it."""
        origin = " ".join(part for part in (self.distribution, self.version) if part)
        return f"{self.name!r} ({origin})" if origin else repr(self.name)


class Registry:
    """The plugins of one process and what they offer.

    Attributes:
        manager: pluggy's manager, with every usable plugin registered.
        plugins: All plugins found, the built-in one first.
        problems: Everything that is wrong, in the order found; each names its plugin.
    """

    def __init__(self) -> None:
        self.manager = _manager()
        self.plugins: list[PluginRecord] = []
        self.problems: list[PluginError] = []
        self._records: dict[int, PluginRecord] = {}
        self._offers: dict[str, dict[str, list[tuple[PluginRecord, Provider]]]] = {}

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks, to be called: ``registry.hook.greenadapt_run_audit(request=...)``."""
        return self.manager.hook

    def providers(self, kind: ProviderKind) -> dict[str, Provider]:
        """Everything on offer of one kind, by name: plugins' own first, what ships with greenadapt last.

        Raises:
            PluginError: Two plugins offer the same name; the error names both.
        """
        offers = self._offers[kind]
        for name in offers:
            self._only_offer(kind, name)
        return {name: offered[0][1] for name, offered in offers.items()}

    def find(self, kind: ProviderKind, name: str) -> Any:
        """Imports and returns one thing by name.

        Raises:
            ModelError: No plugin offers such a model source.
            OptionError: No plugin offers such an adapter, meter or publisher.
            PluginError: Two plugins offer it, or it cannot be imported.
            MissingExtraError: It needs an extra that is not installed.
        """
        if name not in self._offers[kind]:
            raise self._unknown(kind, name)
        return self._only_offer(kind, name).load()

    def add(self, plugin: object, record: PluginRecord) -> None:
        """Examines and registers a plugin; what is wrong with it is reported, never raised.

        Args:
            plugin: A module or object with hook implementations.
            record: Its name and where it comes from.
        """
        self.plugins.append(record)
        try:
            hash(plugin)  # pluggy keeps plugins in sets
            findings = examine(self.manager, plugin, record.label)
            for fault in findings.faults:
                self.report(record, fault)
            record.hooks = tuple(findings.hooks)
            if not findings.usable:
                record.status = "failed"
                return
            self.manager.register(plugin, name=f"{record.name}@{record.distribution}")
            self._records[id(plugin)] = record
        except Exception as error:  # a plugin object may raise anything when looked at
            record.status = "failed"
            self.report(record, failure(record, "could not be registered", error))

    def ask_for_providers(self) -> None:
        """Calls the provider hooks plugin by plugin, so that one that raises loses nothing of the others."""
        for kind, hook in PROVIDER_HOOKS.items():
            offers = self._offers[kind] = {}
            for record, answers in self._call_each(hook):
                if answers is None:
                    continue
                for answer in answers or [None]:  # pluggy leaves out an answer of None
                    good, faults = check_providers(answer, record.label, hook)
                    for fault in faults:
                        self.report(record, fault)
                    for provider in good:
                        offers.setdefault(provider.name, []).append((record, provider))
            self._report_clashes(kind)

    def add_commands(self, cli: click.Group) -> None:
        """Lets every plugin add its commands; one that raises or takes a name that is taken is reported."""
        taken = dict(cli.commands)
        for record, _ in self._call_each("greenadapt_commands", cli=cli):
            for name, command in taken.items():
                if cli.commands.get(name) is not command:
                    cli.commands[name] = command
                    self.report(record, _command_taken(record, name))
            taken = dict(cli.commands)

    def _call_each(self, hook: str, **arguments: Any) -> Iterator[tuple[PluginRecord, list[Any] | None]]:
        """Calls a hook plugin by plugin, in pluggy's order; the answers of one that raised are None."""
        caller: pluggy.HookCaller = getattr(self.manager.hook, hook)
        # pluggy calls the last of this list first.
        implementations = [
            each for each in reversed(caller.get_hookimpls()) if not (each.wrapper or each.hookwrapper)
        ]
        for plugin in dict.fromkeys(each.plugin for each in implementations):
            record = self._records[id(plugin)]
            answers: list[Any] | None = None
            try:
                answers = getattr(_alone(plugin).hook, hook)(**arguments)
            except Exception as error:  # whatever a plugin raises is its own affair
                self.report(record, failure(record, f"failed in {hook}", error))
            yield record, answers

    def _only_offer(self, kind: str, name: str) -> Provider:
        offered = self._offers[kind][name]
        if len(offered) > 1:
            raise _clash(kind, name, [record for record, _ in offered])
        return offered[0][1]

    def _report_clashes(self, kind: str) -> None:
        for name, offered in self._offers[kind].items():
            if len(offered) > 1:
                records = [record for record, _ in offered]
                self.report(records[0], _clash(kind, name, records), *records[1:])

    def report(self, record: PluginRecord, problem: PluginError, *others: PluginRecord) -> None:
        """Notes a problem, in the list and with the plugins that it concerns."""
        self.problems.append(problem)
        for each in {id(each): each for each in (record, *others)}.values():
            each.problem = f"{each.problem}\n{problem}" if each.problem else str(problem)

    def _unknown(self, kind: str, name: str) -> GreenadaptError:
        label, names = kind.replace("_", " "), sorted(self._offers[kind])
        failed = [record.name for record in self.plugins if record.status == "failed"]
        seen = f"There are: {', '.join(names)}." if names else "No plugin offers any."
        if failed:
            seen += f" Plugins that failed to load: {', '.join(failed)}; see `greenadapt plugins list`."
        error = ModelError if kind == "model_source" else OptionError
        return error(
            f"There is no {label} {name!r}.",
            seen,
            did_you_mean(name, names) or "Choose one of those, or install the plugin that brings it.",
        )


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _alone(plugin: object) -> pluggy.PluginManager:
    # Not pluggy's subset_hook_caller: that of 1.6 cannot leave out a plugin that names its hook by specname.
    manager = _manager()
    manager.register(plugin)
    return manager


def failure(record: PluginRecord, what: str, error: BaseException) -> PluginError:
    """The problem of a plugin that raised something; the cause is kept for tracebacks.

    Args:
        record: The plugin.
        what: The end of a sentence that begins with the plugin.
        error: What it raised.
    """
    reason = " ".join(str(error).split())
    problem = PluginError(
        f"The plugin {record.label} {what}.",
        f"{type(error).__name__}: {reason}" if reason else type(error).__name__,
        "Update or reinstall it, or leave it out with GREENADAPT_PLUGINS='a,b' (the plugins to load).",
    )
    problem.__cause__ = error
    return problem


def _clash(kind: str, name: str, records: list[PluginRecord]) -> PluginError:
    return PluginError(
        f"The {kind.replace('_', ' ')} {name!r} is offered more than once.",
        f"By {' and by '.join(record.label for record in records)}.",
        "Uninstall one of them, or leave it out with GREENADAPT_PLUGINS='a,b' (the plugins to load).",
    )


def _command_taken(record: PluginRecord, name: str) -> PluginError:
    return PluginError(
        f"The plugin {record.label} adds a command whose name is taken.",
        f"`greenadapt {name}` was there before, and stays what it was.",
        "Its author has to choose another name for the command.",
    )

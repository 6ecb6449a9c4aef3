"""What a plugin must keep to, and how each breach is put into words.

Stock pluggy registers a misspelt hook without a word, skips a function whose marker was forgotten, and
gives an argument with a default its default on one version and the caller's value on the next. These
functions find such things in one plugin; `greenadapt.plugins` decides what becomes of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pluggy

from greenadapt import hookspecs
from greenadapt.errors import PluginError, did_you_mean
from greenadapt.interfaces import Provider

PREFIX = f"{hookspecs.PROJECT}_"
PROVIDER_HOOKS = {
    "adapter": "greenadapt_adapters",
    "meter": "greenadapt_meters",
    "model_source": "greenadapt_model_sources",
    "publisher": "greenadapt_publishers",
}
"""The hook that gives each kind of provider."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def hook_arguments() -> dict[str, tuple[str, ...]]:
    """Every hook there is, with the names of its arguments."""
    return {
        name: tuple(inspect.signature(function).parameters)
        for name, function in vars(hookspecs).items()
        if name.startswith(PREFIX) and inspect.isfunction(function)
    }


@dataclass
class Findings:
    """What an examination of a plugin brought to light.

    Attributes:
        hooks: The hooks that it implements, in alphabetical order.
        faults: What it does wrong, one error each; none of them is raised.
        usable: False if pluggy could not register the plugin.
    """

    hooks: list[str] = field(default_factory=list)
    faults: list[PluginError] = field(default_factory=list)
    usable: bool = True


def examine(manager: pluggy.PluginManager, plugin: object, owner: str) -> Findings:
    """Looks at every function of a plugin without calling any.

    Args:
        manager: The one that the plugin is meant for.
        plugin: A module, or any object with hook implementations.
        owner: How to name the plugin in an error.
    """
    findings = Findings()
    specs = hook_arguments()
    for name, function, options in _candidates(manager, plugin):
        hook = (options or {}).get("specname") or name
        if hook not in specs:
            if not (options or {}).get("optionalhook"):
                findings.faults.append(_no_such_hook(owner, name, hook, specs))
        elif options is None:
            findings.faults.append(_unmarked(owner, name))
        else:
            _check_signature(findings, owner, function, specs[hook], hook)
            _check_wrapper(findings, owner, hook, options)
            findings.hooks.append(hook)
    findings.hooks.sort()
    if not findings.hooks and not findings.faults:
        findings.faults.append(
            PluginError(
                f"The plugin {owner} does nothing.",
                "It implements no hook.",
                f"Mark its functions with greenadapt.hookimpl; the hooks are {', '.join(specs)}.",
            )
        )
    return findings


def check_providers(result: object, owner: str, hook: str) -> tuple[list[Provider], list[PluginError]]:
    """Sorts what a provider hook returned into what can be used and what cannot.

    Args:
        result: What one implementation returned.
        owner: How to name the plugin in an error.
        hook: Name of the hook.
    """
    if not isinstance(result, (list, tuple)):
        return [], [_bad_answer(owner, hook, f"It returned {_kind_of(result)}, not a list of Provider.")]
    good: list[Provider] = []
    faults: list[PluginError] = []
    for item in result:
        if not isinstance(item, Provider):
            faults.append(_bad_answer(owner, hook, f"Its list holds {_kind_of(item)}, not only Provider."))
        elif not item.name or item.name != item.name.lower() or set(item.name) & set(" :/"):
            faults.append(_bad_answer(owner, hook, f"{item.name!r} is no name that a user can type."))
        else:
            good.append(item)
    return good, faults


def _candidates(
    manager: pluggy.PluginManager, plugin: object
) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any] | None]]:
    for name in dir(plugin):
        # Never read by getattr before this: a property of the plugin would run.
        found = inspect.getattr_static(plugin, name, None)
        function = found.__func__ if isinstance(found, (staticmethod, classmethod)) else found
        if not inspect.isroutine(function):
            continue
        options = manager.parse_hookimpl_opts(plugin, name)
        if options is not None or name.startswith(PREFIX):
            yield name, getattr(plugin, name), dict(options) if options is not None else None


def _check_signature(
    findings: Findings, owner: str, function: Callable[..., Any], arguments: tuple[str, ...], hook: str
) -> None:
    signature = inspect.signature(function)
    named = [parameter for parameter in signature.parameters.values() if parameter.kind in _NAMED]
    takes = f"{hook}({', '.join(arguments)})"
    unknown = [parameter.name for parameter in named if parameter.name not in arguments]
    if unknown:
        findings.usable = False
        findings.faults.append(
            PluginError(
                f"The plugin {owner} cannot be used: {hook} does not pass what it asks for.",
                f"It asks for {', '.join(unknown)}; the hook is {takes}.",
                f"Take only arguments of {takes}.",
            )
        )
    for parameter in named:
        if parameter.default is not inspect.Parameter.empty:
            findings.faults.append(
                PluginError(
                    f"The plugin {owner} gives an argument of {hook} a default.",
                    f"It is {parameter}: pluggy 1.6 passes the default, pluggy 1.7 the real value.",
                    f"Remove the default; the hook is {takes}.",
                )
            )


def _check_wrapper(findings: Findings, owner: str, hook: str, options: dict[str, Any]) -> None:
    if hook in PROVIDER_HOOKS.values() and (options.get("wrapper") or options.get("hookwrapper")):
        findings.faults.append(
            PluginError(
                f"The plugin {owner} wraps {hook}, which has no effect.",
                "Plugins are asked for providers one by one, so that one can fail alone.",
                "Offer providers of your own; wrap only greenadapt_run_audit.",
            )
        )


def _no_such_hook(owner: str, name: str, hook: str, specs: dict[str, tuple[str, ...]]) -> PluginError:
    meant = hook if hook.startswith(PREFIX) else PREFIX + hook
    return PluginError(
        f"The plugin {owner} implements a hook that does not exist.",
        f"Its function {name} " + (f"stands for {hook!r}." if name != hook else "is called by nobody."),
        did_you_mean(meant, specs) or f"The hooks are {', '.join(specs)}.",
    )


def _unmarked(owner: str, name: str) -> PluginError:
    return PluginError(
        f"The plugin {owner} has a function named like a hook that is not marked as one.",
        f"{name} is called by nobody.",
        "Put @greenadapt.hookimpl above it.",
    )


def _bad_answer(owner: str, hook: str, seen: str) -> PluginError:
    return PluginError(
        f"The plugin {owner} gave an answer to {hook} that cannot be used.",
        seen,
        "Return a list of greenadapt.interfaces.Provider, their names in lower case without spaces.",
    )


def _kind_of(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"

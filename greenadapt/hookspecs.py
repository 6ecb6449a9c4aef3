"""The hooks. A plugin is a module with some of these functions, marked with `greenadapt.hookimpl`.

Provider hooks take nothing and return a list of `greenadapt.interfaces.Provider`.
A hook implementation never gives an argument a default: pluggy 1.6 and 1.7 treat it differently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from greenadapt.interfaces import AuditRequest, AuditResult, Provider

PROJECT = "greenadapt"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def greenadapt_model_sources() -> list[Provider]:  # type: ignore[empty-body]
    """Places a model can come from; a provider's name is the prefix, as in ``timm:resnet50``."""


@hookspec
def greenadapt_adapters() -> list[Provider]:  # type: ignore[empty-body]
    """Ways to make a model spend less."""


@hookspec
def greenadapt_meters() -> list[Provider]:  # type: ignore[empty-body]
    """Instruments that read joules; ``--meter auto`` tries them in the order given."""


@hookspec
def greenadapt_publishers() -> list[Provider]:  # type: ignore[empty-body]
    """Places a finished folder can go to."""


@hookspec
def greenadapt_commands(cli: click.Group) -> None:
    """Adds commands to the ``greenadapt`` command line."""


@hookspec(firstresult=True)
def greenadapt_run_audit(request: AuditRequest) -> AuditResult:  # type: ignore[empty-body]
    """Runs an audit. greenadapt implements it; a plugin wraps it to lock clocks, cool down or log."""

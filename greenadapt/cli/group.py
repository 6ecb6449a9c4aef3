"""Finds the commands without importing what they need, and turns errors into exit codes."""

from __future__ import annotations

import importlib
import traceback
from typing import Any

import click

from greenadapt.cli import output
from greenadapt.errors import GreenadaptError

HELP = ["-h", "--help"]
COULD_NOT = 2
INTERRUPTED = 130
SHIPPED = {
    "quickstart": "quickstart",
    "doctor": "doctor",
    "models": "lists",
    "adapters": "lists",
    "meters": "lists",
    "plugins": "lists",
    "wrap": "wrap",
    "finetune": "finetune",
    "audit": "audit",
    "compare": "compare",
    "show": "show",
    "publish": "publish",
    "check": "check",
    "convert-checkpoint": "convert",
}
"""Each shipped command, in the order of the help page, with the module that holds it."""


class Commands(click.Group):
    """The ``greenadapt`` group: shipped commands first, then those of plugins."""

    _plugins_asked = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of a first use, those of plugins last."""
        self._ask_plugins()
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by name; only a name that does not ship makes the plugins load."""
        if cmd_name in SHIPPED:
            return _shipped(cmd_name)
        self._ask_plugins()
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; an error becomes three lines on stderr and exit code 2."""
        try:
            return super().invoke(ctx)
        except GreenadaptError as error:
            _traceback_if_asked()
            output.error(error.happened, error.seen, error.todo)
            ctx.exit(COULD_NOT)
        except KeyboardInterrupt:
            output.say("Interrupted.")
            ctx.exit(INTERRUPTED)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except Exception as error:
            _traceback_if_asked()
            output.error(
                "greenadapt failed in a way it does not know.",
                f"{type(error).__name__}: {error}",
                "Run the same command with -vv, and report what it prints.",
            )
            ctx.exit(COULD_NOT)

    def _ask_plugins(self) -> None:
        if self._plugins_asked:
            return
        self._plugins_asked = True
        # All of them, so that a plugin's command cannot take the name of one.
        self.commands.update({name: _shipped(name) for name in SHIPPED})
        # Without an installed plugin there is nobody to ask, and the loader need not be imported.
        from importlib.metadata import entry_points

        from greenadapt.hookspecs import PROJECT

        if entry_points(group=PROJECT):
            from greenadapt import plugins

            plugins.registry().add_commands(self)


def _shipped(name: str) -> click.Command:
    module = importlib.import_module(f"greenadapt.cli.{SHIPPED[name]}")
    command: click.Command = getattr(module, name.replace("-", "_"))
    # click keeps the first help option that it makes of a command, whoever asked for it.
    command.context_settings.setdefault("help_option_names", HELP)
    return command


def _traceback_if_asked() -> None:
    if output.verbosity() >= output.TRACEBACKS:
        output.say(traceback.format_exc().rstrip())

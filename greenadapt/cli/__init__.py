"""The command line: ``greenadapt``, one file per command.

    greenadapt ── doctor                     what can be measured here
               ├─ models, adapters, meters, plugins      ``list`` of each
               ├─ wrap, finetune, audit      change a model, train it, measure it
               ├─ compare, show, check       read profiles
               ├─ publish                    hand a finished folder on
               ├─ convert-checkpoint         the Big-Little authors' weights as a saved model
               └─ quickstart                 all of it on the embedded networks

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the answer is no, 2 could not do it,
130 interrupted. `group` finds the commands, `output` prints, `options` are what commands share.
"""

from __future__ import annotations

import sys

import click

from greenadapt.cli.group import HELP, Commands
from greenadapt.cli.options import verbosity

__all__ = ["cli", "main"]


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        import greenadapt

        click.echo(f"greenadapt {greenadapt.__version__}")
        context.exit()


_SETTINGS = {"help_option_names": HELP, "max_content_width": 100}


@click.group(cls=Commands, name="greenadapt", context_settings=_SETTINGS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and leave.",
)
@verbosity
def cli() -> None:
    """Make the image classifier you already have spend fewer joules per inference, and prove it.

    Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 the answer is no, 2 could not do
    it, 130 interrupted.
    """


def main() -> None:
    """Entry point of the console script."""
    try:
        cli(prog_name="greenadapt")
    except KeyboardInterrupt:
        sys.exit(130)

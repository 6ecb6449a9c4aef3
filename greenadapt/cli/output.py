"""Where text goes: results to stdout, everything else to stderr; colour and bars on a terminal only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from greenadapt.tables import Column, text_table

Progress = Callable[[str, float], None]
TRACEBACKS = 2
_VERBOSITY = "greenadapt.verbosity"
_PASSING = "…"


def result(text: str) -> None:
    """Prints a result to stdout."""
    click.echo(text)


def result_json(content: Any) -> None:
    """Prints a result to stdout as indented JSON."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def result_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table to stdout."""
    click.echo(text_table(columns, rows))


def say(text: str) -> None:
    """Prints to stderr what is no result."""
    click.echo(text, err=True)


def error(happened: str, seen: str, todo: str) -> None:
    """Prints an error to stderr: what happened, what was seen, what to do."""
    head = click.style(happened, fg="red", bold=True) if _colour() else happened
    say("\n".join(line for line in (head, seen, todo) if line))


def verbosity() -> int:
    """How many times ``-v`` was given."""
    context = click.get_current_context(silent=True)
    return 0 if context is None else context.meta.get(_VERBOSITY, 0)


def raise_verbosity(context: click.Context, count: int) -> None:
    """Notes that ``-v`` was given that many times more."""
    context.meta[_VERBOSITY] = context.meta.get(_VERBOSITY, 0) + count


@contextmanager
def progress(*, history: bool = False) -> Iterator[Progress]:
    """Shows how far a long task is: a bar on a terminal, else a line per phase.

    Args:
        history: Keep the line of each phase on a terminal too, above the bar.

    Yields:
        A function of a message and the fraction done; a message that ends in "…" is a passing one, which
        only a bar shows.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    # The text is our own, and a name with brackets in it is no markup.
    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)

        def show(message: str, fraction: float) -> None:
            bar.update(task, completed=fraction, description=message.removesuffix(_PASSING).rstrip())
            if history and not message.endswith(_PASSING):
                console.print(message, markup=False, highlight=False)

        yield show


def _lines() -> Progress:
    last = ""

    def show(message: str, fraction: float) -> None:
        nonlocal last
        if message != last and not message.endswith(_PASSING):
            say(message)
        last = message

    return show


def _colour() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ

"""The code blocks of a page, and how the tests read them.

What follows the language in a fence is for the tests; GitHub does not show it:

    python             run, in the order of the page, in one namespace and one empty folder
    sh                 lines of `greenadapt ...`, run in that folder too
    python no-run      needs a hub, a GPU or hours: compiled; attributes and keywords of greenadapt resolved
    sh no-run          `greenadapt` lines parsed by the real command, `make` lines looked up in the Makefile
    sh exit=1          the last line must end with that exit code
    ... file=NAME      written to a file of that name in the folder, before it is run or read
    text, or nothing   output and drawings, not read
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from markdown_it import MarkdownIt

from greenadapt.cli import cli

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("python", "sh", "toml", "json", "text", "")


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    flags: tuple[str, ...]
    text: str

    @property
    def runs(self) -> bool:
        return "no-run" not in self.flags

    @property
    def file(self) -> str | None:
        return next((flag.removeprefix("file=") for flag in self.flags if flag.startswith("file=")), None)

    @property
    def exit_code(self) -> int:
        return next((int(flag.removeprefix("exit=")) for flag in self.flags if flag.startswith("exit=")), 0)

    @property
    def commands(self) -> list[list[str]]:
        joined = self.text.replace("\\\n", " ")
        lines = (shlex.split(line, comments=True) for line in joined.splitlines())
        return [words for words in lines if words]

    @property
    def padded(self) -> str:
        """The code with empty lines above it, so that a traceback shows the line of the page."""
        return "\n" * self.line + self.text

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def parsed(words: list[str]) -> dict[str, Any]:
    """The options and arguments of a `greenadapt` command line as the real command reads them; nothing runs.

    Raises:
        click.UsageError: The command does not exist, or does not take these.
    """
    context = click.Context(cli, info_name="greenadapt", **cli.context_settings)
    command: click.Command = cli
    words = words[1:]
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        if found is None:
            raise click.UsageError(f"There is no command {' '.join(words[:1])!r}.")
        command, words = found, words[1:]
        # With its parent, or click would remember a help option without -h for the rest of the process.
        context = click.Context(command, info_name=command.name, parent=context)
    return command.make_context(str(command.name), list(words), parent=context.parent).params


def pages() -> list[Path]:
    """Everything written in Markdown that a user reads."""
    found = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
    return sorted(found)


def blocks(page: Path) -> Iterator[Block]:
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        if token.type == "fence" and token.map is not None:
            language, *flags = token.info.split() or [""]
            yield Block(page, token.map[0] + 1, language, tuple(flags), token.content)


def links(page: Path) -> Iterator[str]:
    """Targets of links and images, without those that leave the repository."""
    for token in MarkdownIt().parse(page.read_text(encoding="utf-8")):
        for child in token.children or ():
            target = str(child.attrGet("href") or child.attrGet("src") or "")
            if target and "://" not in target and not target.startswith("mailto:"):
                yield target

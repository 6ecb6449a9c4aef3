from pathlib import Path

import click

from greenadapt.cli.group import SHIPPED, Commands
from greenadapt.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_reference_is_what_the_help_pages_say():
    """If this fails: python -m greenadapt.cli.reference > docs/reference/cli.md"""
    assert PAGE.read_text() == reference()


def test_every_command_is_in_it():
    text = reference()
    assert all(f"`greenadapt {name}" in text for name in SHIPPED)


def test_every_command_has_both_names_of_help_when_it_is_run_alone():
    for name in SHIPPED:
        command = Commands(name="bare").get_command(click.Context(click.Group()), name)
        assert command is not None
        context = command.make_context(name, [], resilient_parsing=True)
        assert context.help_option_names == ["-h", "--help"]

from pathlib import Path

from greenadapt.cli.group import SHIPPED
from greenadapt.cli.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"


def test_the_reference_is_what_the_help_pages_say():
    """If this fails: python -m greenadapt.cli.reference > docs/reference/cli.md"""
    assert PAGE.read_text() == reference()


def test_every_command_is_in_it():
    text = reference()
    assert all(f"`greenadapt {name}" in text for name in SHIPPED)

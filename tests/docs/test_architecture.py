"""The architecture page: its tree names what is there, and its layers are those that are enforced."""

from __future__ import annotations

import re
import tomllib

from tests.docs.code_blocks import ROOT

PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
UNDRAWN = {"__init__.py", "__main__.py", "__pycache__"}


def tree() -> set[str]:
    """Paths of the drawn tree, relative to the repository."""
    drawn = re.search(r"^greenadapt/\n.*?^```", PAGE, re.MULTILINE | re.DOTALL)
    assert drawn is not None
    folders: list[str] = []
    paths = set()
    for line in drawn[0].splitlines()[:-1]:
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        folders[depth:] = [name]
        paths.add("".join(folders[: depth + 1]))
    return paths


def test_every_path_in_the_tree_exists():
    missing = [path for path in tree() if not (ROOT / path).exists()]
    assert not missing


def test_every_module_of_the_package_is_in_the_tree():
    there = {
        f"greenadapt/{path.name}{'/' if path.is_dir() else ''}"
        for path in (ROOT / "greenadapt").iterdir()
        if path.name not in UNDRAWN and not path.name.startswith(".")
    }
    assert there <= tree()


def test_layers_are_those_that_lint_enforces():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    enforced = [set(re.findall(r"\w+", layer)) for layer in reversed(contracts[0]["layers"])]
    listed = [set(re.findall(r"`(\w+)`", line)) for line in re.findall(r"^\d+\. .*$", PAGE, re.MULTILINE)]
    assert listed == enforced

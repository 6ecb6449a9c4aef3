"""Every code block of README and docs: run where that is possible here, else compiled and resolved."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import greenadapt
from greenadapt import plugins
from greenadapt.cli import cli
from tests.docs.code_blocks import LANGUAGES, ROOT, Block, blocks, links, pages, parsed

PAGES = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in pages()]
WITH_CODE = [
    pytest.param(page, id=str(page.relative_to(ROOT)))
    for page in pages()
    if any(block.language in ("python", "sh", "toml", "json") for block in blocks(page))
    and page.parent.name != "reference"
]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: {block.language!r} is none of {LANGUAGES}"
        unknown = [flag for flag in block.flags if not re.fullmatch(r"no-run|exit=\d+|file=[\w.-]+", flag)]
        assert not unknown, f"{block}: {unknown}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path).resolve()
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in _anchors(found), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", WITH_CODE)
def test_blocks_of(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
        _READERS[block.language](block, namespace)


def _python(block: Block, namespace: dict[str, Any]) -> None:
    code = compile(block.padded, str(block.page), "exec")
    if not block.runs:
        _resolve(block, ast.parse(block.text))
    elif block.file is None:
        exec(code, namespace)


def _shell(block: Block, namespace: dict[str, Any]) -> None:
    for number, words in enumerate(block.commands, start=1):
        if not block.runs:
            _check_command(block, words)
            continue
        assert words[0] == "greenadapt", f"{block}: only greenadapt runs in the tests; mark the block no-run"
        result = CliRunner().invoke(cli, words[1:], prog_name="greenadapt")
        expected = block.exit_code if number == len(block.commands) else 0
        said = f"{block}: {' '.join(words)}\n{result.output}"
        assert result.exception is None or isinstance(result.exception, SystemExit), said
        assert result.exit_code == expected, said


def _toml(block: Block, namespace: dict[str, Any]) -> None:
    tomllib.loads(block.text)


def _json(block: Block, namespace: dict[str, Any]) -> None:
    json.loads(block.text)


def _text(block: Block, namespace: dict[str, Any]) -> None:
    """Output; not read."""


_READERS = {"python": _python, "sh": _shell, "toml": _toml, "json": _json, "text": _text, "": _text}


def _resolve(block: Block, tree: ast.Module) -> None:
    """Imports work, attributes of greenadapt exist, and its functions take these arguments."""
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([node], []), str(block), "exec"), names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            _attribute(block, node, names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            _check_call(block, node, names)


def _attribute(block: Block, node: ast.AST, names: dict[str, Any]) -> Any:
    """What a dotted name that begins with an imported module stands for; None for any other."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if not isinstance(node, ast.Attribute):
        return None
    owner = _attribute(block, node.value, names)
    if owner is None:
        return None
    assert hasattr(owner, node.attr), f"{block}: {ast.unparse(node)} does not exist"
    return getattr(owner, node.attr)


def _check_call(block: Block, node: ast.Call, names: dict[str, Any]) -> None:
    function = _attribute(block, node.func, names)
    if function is None or not getattr(function, "__module__", "").startswith("greenadapt"):
        return
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        return
    keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg is not None}
    try:
        inspect.signature(function).bind(*node.args, **keywords)
    except TypeError as error:
        pytest.fail(f"{block}: {ast.unparse(node)}: {error}")


def _check_command(block: Block, words: list[str]) -> None:
    if words[0] == "greenadapt":
        try:
            parsed(words)
        except click.UsageError as error:
            pytest.fail(f"{block}: {error.format_message()}")
    elif words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        missing = [word for word in words[1:] if word not in targets]
        assert not missing, f"{block}: the Makefile has no {missing}"
    elif words[:2] == ["python", "-m"] and words[2].startswith("greenadapt"):
        assert find_spec(words[2]) is not None, f"{block}: there is no module {words[2]}"


def _anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_an_unknown_option_is_noticed(tmp_path: Path) -> None:
    """The reader of blocks that are not run would fail if the docs were wrong."""
    wrong = Block(ROOT / "README.md", 1, "sh", ("no-run",), "greenadapt audit resnet50 --no-such-option\n")
    with pytest.raises(pytest.fail.Exception, match="no-such-option"):
        _shell(wrong, {})
    wrong = Block(ROOT / "README.md", 1, "python", ("no-run",), "import greenadapt\ngreenadapt.wrapp(1)\n")
    with pytest.raises(AssertionError, match="wrapp"):
        _python(wrong, {})
    wrong = Block(
        ROOT / "README.md", 1, "python", ("no-run",), "import greenadapt\ngreenadapt.save(1, 2, at=3)\n"
    )
    with pytest.raises(pytest.fail.Exception, match="at"):
        _python(wrong, {})


def test_the_readme_is_short_and_starts_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    first, second = next(block for block in blocks(ROOT / "README.md")).commands[:2]
    assert (first, second) == (["make", "quickstart"], ["make", "test"])


def test_the_tutorial_page_is_run_whole() -> None:
    tutorial = list(blocks(ROOT / "docs" / "tutorial" / "first-retrofit.md"))
    assert all(block.runs for block in tutorial)
    called = "\n".join(block.text for block in tutorial)
    for verb in ("audit", "wrap", "describe", "finetune", "compare", "save", "publish", "check"):
        assert re.search(rf"greenadapt[. ]{verb}\b", called), f"the tutorial does not {verb}"


def test_the_changelog_knows_this_version() -> None:
    assert f"## {greenadapt.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("adapter", ["blockdrop", "biglittle"])
def test_the_page_of_an_adapter_names_its_options(adapter: str) -> None:
    text = (ROOT / "docs" / "explanation" / f"{adapter}.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(plugins.adapter(adapter).config):
        assert f"`{field.name}`" in text, field.name


def test_the_page_about_meters_names_those_that_ship() -> None:
    text = (ROOT / "docs" / "how-to" / "measure-without-root.md").read_text(encoding="utf-8")
    for name in plugins.load(entry_points=False).providers("meter"):
        assert f"| `{name}` |" in text, name

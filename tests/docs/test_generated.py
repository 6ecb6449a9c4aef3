"""What is generated is fresh, and says what it should."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import generate
import jsonschema
import pytest
from click.testing import CliRunner

import greenadapt
from greenadapt import hookspecs
from greenadapt.cli import cli
from greenadapt.profile import Profile
from tests.docs.code_blocks import ROOT
from tests.factories import ESTIMATED, profile

SCHEMA = ROOT / "docs" / "reference" / "profile.schema.json"


@pytest.fixture(scope="module")
def fresh() -> dict[Path, str]:
    return generate.pages()


def test_what_the_guides_import_from_a_retrofit_is_in_the_reference(fresh: dict[Path, str]) -> None:
    guides = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in guides if page.parent.name != "reference")
    imported = re.findall(r"from (greenadapt\.adapters[\w.]*) import (\w+)", text)
    assert imported
    for module, name in imported:
        assert f"### `{module}.{name}`\n" in fresh[ROOT / "docs" / "reference" / "api.md"]


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/how-to/train-the-embedded-models.md",
        *(f"docs/reference/{name}" for name in ("cli.md", "api.md", "hooks.md", "profile.schema.json")),
    ],
)
def test_no_generated_page_is_stale(page: str, fresh: dict[Path, str]) -> None:
    path = ROOT / page
    assert path.read_text(encoding="utf-8") == fresh[path], f"{page} is stale: run make docs"


def test_a_stale_table_is_noticed(tmp_path: Path) -> None:
    """What somebody types into the README's table, the generator would undo; so the test above sees it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _publish(tmp_path, *_run())
    current = generate.with_table(readme, generate.table(tmp_path))
    typed = current.replace("| resnet20<br>", "| resnet21<br>", 1)
    assert typed != current
    assert generate.with_table(typed, generate.table(tmp_path)) == current


def test_the_table_has_a_row_per_network_and_names_the_winner(tmp_path: Path) -> None:
    _publish(tmp_path, *_run())
    text = generate.table(tmp_path)
    rows = [
        line.split("<br>")[0] for line in text.splitlines() if line.startswith("| ") and "---" not in line
    ]
    assert rows == ["| network | energy/image", "| resnet20", "| blockdrop", "| resnet14", "| resnet8"]
    assert "blockdrop loses to resnet8: " in text
    assert "Energy: measured" in text
    assert "estimated" not in text


def test_runs_on_other_machines_get_tables_of_their_own(tmp_path: Path) -> None:
    _publish(tmp_path, *_run())
    _publish(tmp_path, *_run(run_id="run-2", method=ESTIMATED, conditions={"device": "Another CPU"}))
    first, second = generate.table(tmp_path).split("Another CPU")
    assert "| resnet20" in first
    assert "| resnet20" in second
    assert "estimated" not in first
    assert "estimated:" in second


def test_without_profiles_the_table_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "make bench" in generate.table(tmp_path)
    assert "make bench" in generate.table(tmp_path / "nowhere")


def test_the_readme_has_room_for_the_table() -> None:
    assert len(generate.MARKER.findall((ROOT / "README.md").read_text(encoding="utf-8"))) == 1


def test_every_public_name_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    for name in greenadapt.__all__:
        if name != "__version__":
            assert f"`greenadapt.{name}`" in text, name


def test_every_hook_is_documented_with_its_signature() -> None:
    text = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("greenadapt_")]
    assert len(hooks) == 6
    for name in hooks:
        signature = text.split(f"### `{name}`")[1].split("```")[1]
        arguments = inspect.signature(getattr(hookspecs, name)).parameters
        assert signature.startswith(f"python\n{name}(")
        assert signature.count(": ") == len(arguments)
        assert all(f"{argument}: " in signature for argument in arguments), signature


def test_docstring_sections_become_lists() -> None:
    def sample(one: int, *rest: str) -> None:
        """Does this.

        a -> b    a drawing

        Args:
            one: The first: with a colon.
                And more of it.
            *rest: The others.

        Returns:
            Nothing: at all.

        Source: section 3.
        """

    from docstrings import docstring, signature

    assert signature("sample", sample) == "sample(one: int, *rest: str) -> None"
    assert docstring(sample).split("\n\n") == [
        "Does this.",
        "```text\na -> b    a drawing\n```",
        "**Args:**",
        "- `one`: The first: with a colon. And more of it.\n- `*rest`: The others.",
        "**Returns:** Nothing: at all.",
        "**Source:** section 3.",
    ]


def test_a_real_profile_fits_the_schema() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    network = greenadapt.open_model("cifar_resnet8", pretrained=False)
    plan = greenadapt.Plan.quick_look(
        trials=2, trial_seconds=0.05, warmup_seconds=0.05, idle_seconds=0, meter="none"
    )
    found = greenadapt.audit(network, plan=plan)
    assert isinstance(found, Profile)
    content = json.loads(found.to_json())
    jsonschema.validate(content, schema)
    for change in ({"trials": "none"}, {"unheard_of": 1}, {"validity": {"status": "fine", "reasons": []}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content | change, schema)


def test_published_profiles_fit_the_schema_and_follow_from_their_readings() -> None:
    files = [file for file in (ROOT / "profiles").glob("*.json") if file.name != "index.json"]
    if not files:
        pytest.skip("no profile has been published yet")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    for file in files:
        jsonschema.validate(json.loads(file.read_text(encoding="utf-8")), schema)
    checked = CliRunner().invoke(cli, ["check", *map(str, files)])
    assert checked.exit_code == 0, checked.output


def _run(**changes: Any) -> list[Profile]:
    """A base, a retrofit that loses to the smallest rival, and two rivals."""
    base = profile("resnet20", seconds=1e-3, **changes)
    thin = profile("blockdrop", seconds=0.8e-3, correct=170, adapter="blockdrop", **changes)
    middle = profile("resnet14", seconds=0.7e-3, correct=175, macs=30e6, **changes)
    small = profile("resnet8", seconds=0.4e-3, correct=179, macs=15e6, **changes)
    roles = ("base", "retrofit", "rival", "rival")
    return [
        each.model_copy(update={"subject": each.subject.model_copy(update={"role": role})}).sealed()
        for each, role in zip((base, thin, middle, small), roles, strict=True)
    ]


def _publish(folder: Path, *profiles: Profile) -> None:
    for each in profiles:
        (folder / f"{each.subject.name}-{each.run_id}.json").write_text(each.to_json(), encoding="utf-8")

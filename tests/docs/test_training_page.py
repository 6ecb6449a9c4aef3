"""The commands that made the embedded networks are those of their recipes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from greenadapt.cli.options import adapter_options
from greenadapt.embedded import MODELS
from greenadapt.recipe import Recipe, parse_recipe
from tests.docs.code_blocks import ROOT, blocks, parsed

PAGE = ROOT / "docs" / "how-to" / "train-the-embedded-models.md"
HOME = ROOT / "greenadapt" / "embedded"


def _commands(verb: str) -> dict[str, dict[str, Any]]:
    """The page's commands of one verb as the real command reads them, by the folder that they write."""
    found = {}
    for block in blocks(PAGE):
        for words in block.commands:
            if words[:2] == ["greenadapt", verb]:
                values = parsed(words)
                found[str(values["out"])] = values
    return found


def _trained(name: str) -> dict[str, Any]:
    commands = _commands("finetune")
    folder = str((HOME / name).relative_to(ROOT))
    assert folder in commands, f"the page does not say how {name} was trained"
    return commands[folder]


def _recipe(name: str) -> Recipe:
    file = HOME / name / "greenadapt.json"
    if not file.is_file():
        pytest.skip(f"{name} is not trained yet")
    return parse_recipe(file.read_text(encoding="utf-8"), name)


@pytest.mark.parametrize("name", MODELS)
def test_the_page_trains_every_embedded_model(name: str) -> None:
    values = _trained(name)
    assert values["source"] == "images"
    assert values["overwrite"], "the folder is there already"


@pytest.mark.parametrize("name", MODELS)
def test_the_commands_are_those_of_the_recipe(name: str) -> None:
    recipe, values = _recipe(name), _trained(name)
    training = recipe.training[-1]
    said = {key: values[key] for key in ("epochs", "batch_size", "seed", "precision")}
    done = {key: getattr(training, key) for key in said}
    assert said == done
    assert (training.dataset, training.images) == ("fashion-mnist", 60_000)
    assert (training.teacher is None) == (values["teacher"] is None)
    if values["learning_rate"] is not None:
        assert training.learning_rate == pytest.approx(values["learning_rate"])


@pytest.mark.parametrize("name", [name for name, role in MODELS.items() if role != "retrofit"])
def test_plain_networks_are_what_the_page_opens(name: str) -> None:
    recipe, values = _recipe(name), _trained(name)
    assert recipe.adapter is None
    assert recipe.base.name == values["model"] == f"cifar_{name}"
    assert values["no_pretrained"]
    assert recipe.base.model_args.get("in_chans") == values["in_chans"] == 1
    assert recipe.base.model_args.get("num_classes") == values["num_classes"] == 10


@pytest.mark.parametrize("name", [name for name, role in MODELS.items() if role == "retrofit"])
def test_retrofits_are_wrapped_as_the_page_says(name: str) -> None:
    recipe, values = _recipe(name), _trained(name)
    wrapping = _commands("wrap")[values["model"]]
    assert (wrapping["model"], values["teacher"]) == ("embedded:resnet20", "embedded:resnet20")
    assert recipe.adapter == wrapping["adapter"] == name
    assert recipe.base.name == "cifar_resnet20"
    said = adapter_options(name, wrapping["options"])
    assert {key: recipe.options[key] for key in said} == said


def test_the_page_prepares_the_embedded_images(tmp_path: Path) -> None:
    lines = [words for block in blocks(PAGE) for words in block.commands]
    assert ["python", "-m", "greenadapt.embedded.prepare", "images"] in lines

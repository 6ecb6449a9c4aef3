"""Big-Little asked for what cannot be built: from Python and on the command line, an answer that works."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import greenadapt
from greenadapt.cli import cli
from greenadapt.errors import ModelError, OptionError

BASE = ("cifar_resnet14", "--no-pretrained")


def call(*words: object) -> tuple[int, str]:
    """Exit code and what was said about an error."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    return done.exit_code, done.stderr


def base(name: str = "cifar_resnet14") -> Any:
    return greenadapt.open_model(name, pretrained=False)


@pytest.mark.parametrize(
    ("option", "value", "works"),
    [
        ("alpha", 3, "Use one of: 1, 2, 4, 8, 16."),
        ("alpha", 32, "Use one of: 1, 2, 4, 8, 16."),
        ("alpha", 0, "Use a whole number, 1 or more."),
        ("beta", 0, "Use a whole number, 1 or more."),
        ("beta", -1, "Use a whole number, 1 or more."),
        ("depth", "paper", "Use depth='native', which keeps the base's."),
    ],
)
def test_options_that_do_not_fit(option: str, value: object, works: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as raised:
        greenadapt.wrap(base(), "biglittle", **{option: value})
    code, said = call("wrap", *BASE, "-a", "biglittle", "-o", f"{option}={value}", "--out", tmp_path / "out")
    assert (code, said.strip()) == (2, str(raised.value))
    assert raised.value.todo == works
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "takes"),
    [
        ("alpha", 1.5, "int"),
        ("beta", 0.5, "int"),
        ("depth", "deep", "native, paper"),
        ("init", "l2", "auto, zero, l1, random"),
    ],
)
def test_values_of_the_wrong_kind(option: str, value: object, takes: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError):
        greenadapt.wrap(base(), "biglittle", **{option: value})
    code, said = call("wrap", *BASE, "-a", "biglittle", "-o", f"{option}={value}", "--out", tmp_path / "out")
    assert code == 2
    assert said.strip().endswith(f"It takes: {takes}.")


def test_a_beta_beyond_every_depth_is_fine(tmp_path: Path) -> None:
    code, said = call("wrap", *BASE, "-a", "biglittle", "-o", "beta=100", "--out", tmp_path / "out")
    assert code == 0, said
    assert [stage.little for stage in greenadapt.load(tmp_path / "out").greenadapt_stages] == [1, 1]


@pytest.mark.parametrize(
    ("argument", "works"),
    [
        ("alpha=3", "Use one of: 1, 2, 4, 8, 16, 32, 64."),
        ("beta=0", "Use a whole number, 1 or more."),
        ("beta=0.5", "Use a whole number, 1 or more."),
    ],
)
def test_arguments_of_the_papers_networks(argument: str, works: str) -> None:
    asked = ("audit", "bl_resnet50", "--no-pretrained", "--random-data", "--quick", "--model-arg", argument)
    code, said = call(*asked)
    assert (code, said.strip().splitlines()[-1]) == (2, works)


def test_images_too_small() -> None:
    asked = ("audit", "bl_resnet50", "--no-pretrained", "--num-classes", 10, "--in-chans", 1, "--quick")
    images = ("--data", "fashion-mnist-2000", "--size", 16, "--limit", 8, "-b", 1, "--device", "cpu")
    code, said = call(*asked, *images)
    assert code == 2, said
    assert said.strip().endswith("Use images of 17x17 px or more.")


def test_weights_of_another_depth(tmp_path: Path) -> None:
    for name in ("cifar_resnet14", "cifar_resnet20"):
        greenadapt.save(greenadapt.wrap(base(name), "biglittle"), tmp_path / name)
    weights = "model.safetensors"
    shutil.copy(tmp_path / "cifar_resnet20" / weights, tmp_path / "cifar_resnet14" / weights)
    with pytest.raises(ModelError) as raised:
        greenadapt.load(tmp_path / "cifar_resnet14")
    code, said = call("audit", tmp_path / "cifar_resnet14", "--random-data", "--quick")
    assert (code, said.strip()) == (2, str(raised.value))
    assert "unexpected: layer1.0.big.1" in raised.value.seen

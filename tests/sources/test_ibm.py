"""``ibm:``: the Big-Little authors' checkpoints, made up under their names, and ways to get one wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import Tensor

import greenadapt
from greenadapt.cli import cli
from greenadapt.errors import GreenadaptError, ModelError, OptionError, StorageError
from greenadapt.sources.ibm import recognised, source
from greenadapt.zoo import BL_SHAPES
from greenadapt.zoo.bl_names import translated
from tests.bl_reference import LAYERS, published_shapes, published_tensors, write_checkpoint

NAME = "ImageNet-bLResNet-50-a2-b4.pth.tar"
IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    """Those of bLResNet-50, alpha 2, beta 4, with ten classes; not to be changed."""
    return published_tensors(published_shapes(classes=10))


@pytest.fixture(scope="module")
def checkpoint(tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("ibm") / NAME, tensors)


def logits(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(IMAGES)
    return found


def test_opens_with_its_own_weights(checkpoint: Path, tensors: dict[str, Tensor]) -> None:
    model = greenadapt.open_model(f"ibm:{checkpoint}")
    assert not model.training
    state = model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in translated(tensors).items())
    base = greenadapt.recipe_of(model).base
    assert (base.reference, base.weights) == ("timm:bl_resnet50", "pretrained")
    assert base.model_args == {"alpha": 2, "beta": 4, "num_classes": 10, "in_chans": 3}
    assert model.pretrained_cfg["architecture"] == "bl_resnet50"


@pytest.mark.parametrize("form", ["parallel", "plain", "bare", "legacy", "safetensors"])
def test_every_form_of_the_file(
    form: str, checkpoint: Path, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pth'}"
    if form == "safetensors":
        save_file(tensors, file)
    elif form == "bare":
        torch.save(tensors, file)
    elif form == "legacy":
        # As torch 1.0 wrote it, when the authors published theirs.
        content = torch.load(checkpoint, weights_only=True)
        torch.save(content, file, _use_new_zipfile_serialization=False)
    else:
        write_checkpoint(file, tensors, parallel=form == "parallel")
    assert torch.equal(logits(greenadapt.load(f"ibm:{file}")), logits(greenadapt.load(f"ibm:{checkpoint}")))


def test_saved_it_needs_the_checkpoint_no_more(
    tensors: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_checkpoint(tmp_path / "weights.pth", tensors)
    model = greenadapt.load("ibm:weights.pth")
    folder = greenadapt.save(model, tmp_path / "saved")
    file.unlink()
    again = greenadapt.load(folder)
    assert torch.equal(logits(again), logits(model))
    assert greenadapt.recipe_of(again).base.name == "bl_resnet50"
    assert not [path for path in folder.iterdir() if path.suffix in (".pth", ".bin", ".tar")]


@pytest.mark.parametrize("name", BL_SHAPES)
@pytest.mark.parametrize(("alpha", "beta"), [(2, 4), (4, 4), (1, 1), (2, 2), (4, 1)])
def test_every_network_is_recognised(name: str, alpha: int, beta: int) -> None:
    shape = BL_SHAPES[name]
    shapes = published_shapes(
        shape.layers, alpha, beta, shape.base_width, shape.cardinality, shape.squeeze, classes=7
    )
    meta = {n: torch.empty(s, device="meta") for n, s in shapes.items()}
    found, args = recognised(translated(meta), "it")
    assert (found, args) == (name, {"alpha": alpha, "beta": beta, "num_classes": 7, "in_chans": 3})


def test_a_grouped_network_with_attention_loads_whole(tmp_path: Path) -> None:
    shapes = published_shapes(width=4, groups=32, squeeze=True, alpha=4, beta=2, classes=3)
    file = write_checkpoint(tmp_path / "weights.pth", published_tensors(shapes))
    assert logits(greenadapt.load(f"ibm:{file}")).isfinite().all()


def test_arguments_change_it_as_timm_does(checkpoint: Path) -> None:
    plain = greenadapt.open_model(f"ibm:{checkpoint}")
    model = greenadapt.open_model(f"ibm:{checkpoint}", num_classes=4, in_chans=1)
    assert model(IMAGES[:, :1]).shape == (1, 4)
    torch.testing.assert_close(model.conv1.weight, plain.conv1.weight.sum(1, keepdim=True))
    assert torch.equal(model.layer4[2].conv3.weight, plain.layer4[2].conv3.weight)
    assert greenadapt.recipe_of(model).base.model_args["num_classes"] == 4
    headless = source.open(str(checkpoint), True, {"num_classes": 0})
    assert headless(IMAGES).shape == (1, 2048)


def test_random_weights_of_the_same_network(checkpoint: Path) -> None:
    model = greenadapt.open_model(f"ibm:{checkpoint}", pretrained=False)
    assert (model.bn1.running_mean == 0).all()
    assert greenadapt.recipe_of(model).base.weights == "random"


def test_arguments_that_do_not_fit(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match="of another shape: maxpool") as raised:
        source.open(str(checkpoint), True, {"alpha": 4})
    assert "bl_resnet50 with alpha=2 and beta=4" in raised.value.todo
    with pytest.raises(OptionError, match="no_such_option"):
        source.open(str(checkpoint), True, {"no_such_option": 1})


Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def without(*names: str) -> Change:
    return lambda tensors: {n: t for n, t in tensors.items() if not n.startswith(names)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layer2.fusion.0.bn2"), "missing: layer2.1.bn2.weight"),
        (without("layer4.2."), "3, 4, 6, 2 blocks"),
        (without("layer4."), "3, 4, 6, 0 blocks"),
        (without("layer3.big.4"), "3, 4, 5, 3 blocks"),
        (without("fc."), "no fc.weight"),
        (without("b_conv0", "l_conv0", "layer1"), "no maxpool.little.0.weight, layer1.0.big.0.conv2.weight"),
        (lambda tensors: tensors | {"layer9.0.weight": torch.ones(1)}, "unexpected: layer9.0.weight"),
        (lambda tensors: tensors | {"bn1.bias": torch.ones(3)}, "bn1.bias is (3), not (64)"),
        (lambda tensors: tensors | {"layer3.little.6.conv1.weight": torch.ones(1)}, "of 1, 1, 7 blocks"),
    ],
    ids=["tensor", "block", "stage", "big block", "head", "plain ResNet", "extra", "shape", "little block"],
)
def test_a_checkpoint_that_is_not_whole(
    change: Change, words: str, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    file = write_checkpoint(tmp_path / NAME, change(dict(tensors)))
    with pytest.raises(ModelError) as raised:
        greenadapt.load(f"ibm:{file}")
    assert words in raised.value.seen
    assert "bl_resnet50" in raised.value.todo


def test_another_depth_names_those_that_work(tmp_path: Path) -> None:
    shapes = published_shapes((3, 4, 23, 3))
    small = {name: torch.zeros(shape) for name, shape in shapes.items() if not name.startswith("layer3")}
    small |= {n: torch.zeros(1) for n in shapes if n.startswith("layer3")}
    file = write_checkpoint(tmp_path / NAME, small)
    with pytest.raises(ModelError) as raised:
        greenadapt.load(f"ibm:{file}")
    assert raised.value.seen == "Found: 3, 4, 23, 3 blocks."
    assert all(f"{', '.join(map(str, layers))} blocks" in raised.value.todo for layers in LAYERS.values())


def test_code_in_a_pickle_is_not_run(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(trap),))

    for zipped in (True, False):
        file = tmp_path / "weights.pth"
        content = {"state_dict": {"fc.bias": tensors["fc.bias"]}, "optimizer": Trap()}
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        with pytest.raises(ModelError, match=r"would call \w+\.mkdir; it was not run") as raised:
            greenadapt.load(f"ibm:{file}")
        assert not trap.exists()
        assert "weights_only" not in str(raised.value), "torch's advice is to run it after all"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.999])
def test_a_file_cut_short(kept: float, zipped: bool, tensors: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    few = {name: tensor for name, tensor in tensors.items() if name.startswith("layer1")}
    torch.save({"state_dict": few}, file, _use_new_zipfile_serialization=zipped)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ModelError, match="cannot be read") as raised:
        greenadapt.load(f"ibm:{file}")
    assert raised.value.todo


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds nothing"),
        ({"epoch": 3, "net": {"a": 1}}, "but epoch, net"),
        (torch.ones(3), "holds a Tensor"),
    ],
)
def test_a_file_that_holds_something_else(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(ModelError) as raised:
        greenadapt.load(f"ibm:{tmp_path / 'weights.pth'}")
    assert words in raised.value.seen


def test_a_page_saved_in_place_of_the_file(tmp_path: Path) -> None:
    for name in ("weights.pth", "weights.safetensors"):
        (tmp_path / name).write_text("<html>404</html>")
        with pytest.raises(ModelError, match="cannot be read"):
            greenadapt.load(f"ibm:{tmp_path / name}")


@pytest.mark.parametrize(
    ("name", "made", "words"),
    [
        ("conv1.weight", torch.zeros(4), "not one of 4 axes"),
        ("fc.weight", torch.tensor(1.0), "not one of 2 axes"),
        ("fc.weight", torch.zeros(5, 2048, dtype=torch.int8), "torch.int8"),
        ("fc.weight", torch.full((5, 2048), float("nan")), "no finite numbers"),
        ("fc.weight", torch.zeros(1).expand(2_000_000, 2048), "repeats"),
        ("fc.weight", torch.eye(5, 2048).to_sparse(), "sparse"),
    ],
)
def test_tensors_that_are_no_weights(
    name: str, made: Tensor, words: str, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    file = tmp_path / "odd.pth"
    torch.save({**tensors, name: made}, file)
    with pytest.raises(ModelError, match=words):
        greenadapt.open_model(f"ibm:{file}")


def test_a_plain_resnet_is_told_from_a_big_little_network(tmp_path: Path) -> None:
    file = tmp_path / "plain.pth"
    torch.save(greenadapt.open_model("resnet18", pretrained=False).state_dict(), file)
    with pytest.raises(ModelError, match="wrap it"):
        greenadapt.open_model(f"ibm:{file}")


def test_a_file_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=f"Did you mean {NAME}"):
        greenadapt.load(f"ibm:{checkpoint.with_name('ImageNet-bLResNet-50.pth.tar')}")
    with pytest.raises(ModelError, match="It is a folder"):
        greenadapt.load(f"ibm:{checkpoint.parent}")


def test_weights_of_the_name_alone_are_explained() -> None:
    with pytest.raises(ModelError, match=r"ibm:FILE\.pth\.tar"):
        greenadapt.open_model("bl_resnet50")
    with pytest.raises(StorageError):
        greenadapt.load("nothing:here")


def test_the_command_saves_what_load_loads(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "saved"
    done = CliRunner().invoke(cli, ["convert-checkpoint", str(checkpoint), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["model"], found["model_args"]["beta"], found["saved"]) == ("timm:bl_resnet50", 4, str(out))
    assert torch.equal(logits(greenadapt.load(out)), logits(greenadapt.load(f"ibm:{checkpoint}")))
    again = CliRunner().invoke(cli, ["convert-checkpoint", str(checkpoint), "--out", str(out)])
    assert (again.exit_code, again.stdout) == (2, "")
    assert "overwrite" in again.stderr
    text = CliRunner().invoke(cli, ["convert-checkpoint", str(checkpoint), "--out", str(out), "--overwrite"])
    assert text.stdout == "bl_resnet50, alpha=2, beta=4, num_classes=10, in_chans=3: 24,666,058 parameters\n"


def test_the_command_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_text("nothing")
    arguments = ["convert-checkpoint", str(tmp_path / "weights.pth"), "--out", str(tmp_path / "saved")]
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 2
    assert "cannot be read" in done.stderr
    assert not (tmp_path / "saved").exists()


def test_a_checkpoint_in_the_place_of_a_model_is_told_how_to_open(checkpoint: Path) -> None:
    with pytest.raises(ModelError, match=f"ibm:{checkpoint}"):
        greenadapt.open_model(str(checkpoint))
    with pytest.raises(GreenadaptError, match=f"ibm:{checkpoint}"):
        greenadapt.load(checkpoint)

"""``local-dir:``, ``hf-hub:``, ``embedded:``: folders in timm's format and those saved by greenadapt."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from greenadapt.errors import ModelError
from greenadapt.interfaces import FolderSource
from greenadapt.recipe import Base, Recipe
from greenadapt.sources import embedded, folder, hub
from greenadapt.sources.embedded import EmbeddedSource
from greenadapt.storage import model_files, write_folder
from tests.hub_server import COMMIT, Hub, running_hub

IMAGES = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> torch.nn.Module:
    torch.manual_seed(3)
    model = timm.create_model("test_resnet", num_classes=4, in_chans=1)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


@pytest.fixture
def saved(network: torch.nn.Module, tmp_path: Path) -> Path:
    """A folder as timm writes it."""
    save_for_hf(network, tmp_path / "saved", model_args={"in_chans": 1}, safe_serialization=True)
    return tmp_path / "saved"


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A folder as greenadapt writes it."""
    model = timm.create_model("test_resnet")
    files = model_files(model.state_dict(), Recipe(base=Base(name="test_resnet")))
    return write_folder(tmp_path / "ours", files)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running_hub(monkeypatch, tmp_path / "cache") as running:
        yield running


def test_a_timm_folder_opens(saved: Path, network: torch.nn.Module) -> None:
    model = folder.source.open(str(saved), True, {})
    assert not model.training
    assert torch.equal(model(IMAGES), network(IMAGES))
    assert str(saved) not in str(model.pretrained_cfg)


def test_what_builds_it_again_needs_no_folder(saved: Path, network: torch.nn.Module) -> None:
    base = folder.source.open(str(saved), True, {}).greenadapt_base
    assert (base.source, base.name, base.weights) == ("timm", "test_resnet", "pretrained")
    again = timm.create_model(base.name, **base.model_args)
    again.load_state_dict(network.state_dict())
    assert folder.source.open(str(saved), False, {}).greenadapt_base.weights == "random"


def test_any_lone_safetensors_file_will_do(saved: Path, network: torch.nn.Module) -> None:
    (saved / "model.safetensors").rename(saved / "epoch7.safetensors")
    assert torch.equal(folder.source.open(str(saved), True, {})(IMAGES), network(IMAGES))
    (saved / "epoch8.safetensors").touch()
    with pytest.raises(ModelError, match=r"epoch7\.safetensors, epoch8\.safetensors"):
        folder.source.open(str(saved), True, {})


def test_without_weights_it_opens_untrained_only(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    assert folder.source.open(str(saved), False, {})(IMAGES).shape == (2, 4)
    with pytest.raises(ModelError, match="no weights") as raised:
        folder.source.open(str(saved), True, {})
    assert "--no-pretrained" in raised.value.todo


def test_weights_of_another_network_are_refused(saved: Path) -> None:
    save_file(
        timm.create_model("test_resnet", in_chans=3, num_classes=4).state_dict(), saved / "model.safetensors"
    )
    with pytest.raises(ModelError) as raised:
        folder.source.open(str(saved), True, {})
    assert "conv1" in raised.value.seen


def test_missing_layers_are_not_left_random_when_classes_change(saved: Path) -> None:
    assert folder.source.open(str(saved), True, {"num_classes": 9})(IMAGES).shape == (2, 9)
    state = load_file(saved / "model.safetensors")
    del state["layer1.0.conv1.weight"]
    save_file(state, saved / "model.safetensors")
    with pytest.raises(ModelError, match=r"missing: layer1\.0\.conv1\.weight"):
        folder.source.open(str(saved), True, {"num_classes": 9})


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("{", "config.json cannot be read"),
        ("[]", "names no architecture"),
        ('{"num_classes": 4}', "names no architecture"),
    ],
)
def test_a_folder_that_says_nothing_is_an_error(saved: Path, content: str, seen: str) -> None:
    (saved / "config.json").write_text(content)
    with pytest.raises(ModelError) as raised:
        folder.source.open(str(saved), True, {})
    assert seen in raised.value.seen


def test_an_architecture_that_timm_lacks_is_an_error(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"architecture": "test_resnett"}))
    with pytest.raises(ModelError, match="Did you mean test_resnet"):
        folder.source.open(str(saved), True, {})


def test_a_folder_that_is_not_there_is_an_error(saved: Path) -> None:
    with pytest.raises(ModelError, match="Did you mean saved"):
        folder.source.open(str(saved.with_name("savd")), True, {})
    with pytest.raises(ModelError, match="It is a file"):
        folder.source.open(str(saved / "config.json"), True, {})
    (saved.parent / "bare").mkdir()
    with pytest.raises(ModelError, match="holds nothing"):
        folder.source.open(str(saved.parent / "bare"), True, {})


def test_our_own_folders_are_told_apart(saved: Path, ours: Path) -> None:
    assert folder.source.resolve_folder(str(ours)) == ours
    assert folder.source.resolve_folder(str(saved)) is None
    for source in (folder.source, hub.source, embedded.source):
        assert isinstance(source, FolderSource)


def test_a_timm_repository_opens_from_the_hub(saved: Path, network: torch.nn.Module, server: Hub) -> None:
    server.add_folder("me/net", saved)
    for name in ("me/net", "me/net@main", f"me/net@{COMMIT}"):
        assert hub.source.resolve_folder(name) is None
        model = hub.source.open(name, True, {})
        assert torch.equal(model(IMAGES), network(IMAGES))
        assert model.pretrained_cfg["hf_hub_id"] == name
        assert model.greenadapt_base.source == "timm"


def test_a_repository_of_ours_comes_as_a_folder(
    ours: Path, server: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    server.add_folder("me/thin", ours)
    resolved = hub.source.resolve_folder("me/thin")
    assert resolved is not None
    for name in ("greenadapt.json", "model.safetensors"):
        assert (resolved / name).read_bytes() == (ours / name).read_bytes()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.source.resolve_folder("me/thin") == resolved, "from the cache"


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("me/nothing", "no repository 'me/nothing'"),
        ("me/net@v9", "no revision 'v9'"),
        ("me/empty", "holds no config.json"),
        ("a/b/c", "a/b/c"),
    ],
)
def test_what_the_hub_lacks_is_an_error(saved: Path, server: Hub, name: str, seen: str) -> None:
    server.add_folder("me/net", saved)
    server.files["me/empty"] = {}
    with pytest.raises(ModelError) as raised:
        hub.source.open(name, True, {})
    assert seen in raised.value.seen
    assert raised.value.todo


def test_embedded_names_are_folders_of_the_package(ours: Path) -> None:
    source = EmbeddedSource(ours.parent)
    assert source.names() == ["ours"]
    assert source.names("x*") == []
    assert source.resolve_folder("ours") == ours
    for name in ("our", "../ours", ""):
        with pytest.raises(ModelError, match=r"There are: ours"):
            source.resolve_folder(name)
    with pytest.raises(ModelError, match="open_model"):
        source.open("ours", True, {})

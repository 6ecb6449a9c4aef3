"""``hf-hub:`` as a publisher, against a small Hub on this machine."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from greenadapt.errors import OptionError, ProfileError, StorageError
from greenadapt.publishers.hub import publisher
from greenadapt.recipe import Base, Recipe
from greenadapt.sources import hub
from greenadapt.storage import model_files, write_folder
from tests.factories import profile
from tests.hub_server import Hub, running_hub


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running_hub(monkeypatch, tmp_path / "cache") as running:
        monkeypatch.setenv("HF_TOKEN", "hf_a_token_of_this_test")
        yield running


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    recipe = Recipe(base=Base(name="cifar_resnet20"), adapter="blockdrop")
    files = model_files({"weight": torch.ones(3)}, recipe)
    files["profile.json"] = profile(blocks=4).to_json().encode()
    files["README.md"] = b"# A card\n"
    return write_folder(tmp_path / "finished", files)


def test_a_folder_goes_up_and_comes_back(finished: Path, server: Hub) -> None:
    (finished / "notes.txt").write_text("not for others")
    assert publisher.publish(finished, "me/thin", False) == f"{server.address}/me/thin"
    names = {"model.safetensors", "greenadapt.json", "profile.json", "README.md", "config.json"}
    assert server.files["me/thin"] == {name: (finished / name).read_bytes() for name in names}
    resolved = hub.source.resolve_folder("me/thin")
    assert resolved is not None
    assert (resolved / "model.safetensors").read_bytes() == (finished / "model.safetensors").read_bytes()


def test_a_dry_run_writes_nothing(finished: Path, server: Hub) -> None:
    assert publisher.publish(finished, "me/thin", True) == f"{server.address}/me/thin"
    assert server.written() == []


def test_offline_is_told_in_three_lines_within_seconds(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    started = time.perf_counter()
    with pytest.raises(StorageError) as raised:
        publisher.publish(finished, "me/thin", False)
    assert time.perf_counter() - started < 8
    assert len(str(raised.value).splitlines()) == 3
    assert "127.0.0.1 cannot be reached" in raised.value.seen


def test_a_hub_that_refuses_is_an_error(finished: Path, server: Hub) -> None:
    server.refuses = True
    with pytest.raises(StorageError, match="Publishing to me/thin failed") as raised:
        publisher.publish(finished, "me/thin", False)
    assert "403" in raised.value.seen
    assert "hf auth login" in raised.value.todo


@pytest.mark.parametrize("target", ["", "thin", "me/thin/net", "me/", "/thin", "me/a b"])
def test_a_target_that_is_no_repository_is_an_error(finished: Path, server: Hub, target: str) -> None:
    with pytest.raises(OptionError, match="owner"):
        publisher.publish(finished, target, False)
    assert server.requests == []


def test_what_is_not_fit_is_refused_before_the_hub_is_asked(finished: Path, server: Hub) -> None:
    (finished / "profile.json").write_text(profile(blocks=4).model_copy(update={"run_id": "x"}).to_json())
    with pytest.raises(ProfileError):
        publisher.publish(finished, "me/thin", False)
    (finished / "profile.json").write_text(profile(blocks=4).to_json())
    (finished / "greenadapt.json").unlink()
    with pytest.raises(StorageError, match="no saved model"):
        publisher.publish(finished, "me/thin", False)
    assert server.requests == []

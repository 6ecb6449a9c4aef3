"""``timm:``: names, tags, weights that fit, and a clear error in seconds where they cannot be had."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from greenadapt.errors import ModelError, OptionError
from greenadapt.sources.network import check_downloadable, torch_cache_file, why_unreachable
from greenadapt.sources.timm import source
from tests.hub_server import Hub, running_hub

ROOT = Path(__file__).parents[2]
NETWORK = "test_resnet"
TAGGED = "test_resnet.r160_in1k"
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with running_hub(monkeypatch, tmp_path / "cache") as hub:
        yield hub


def trained(**model_args: object) -> torch.nn.Module:
    """A network whose weights and norms are its own, in place of published ones."""
    torch.manual_seed(7)
    model = timm.create_model(NETWORK, **model_args)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    return model.eval()


def publish(hub: Hub, folder: Path, model: torch.nn.Module, file: str = "model.safetensors") -> None:
    folder.mkdir(exist_ok=True)
    if file.endswith(".safetensors"):
        save_file(model.state_dict(), folder / file)
    else:
        torch.save({"state_dict": model.state_dict(), "epoch": 3}, folder / file)
    hub.add_folder(f"timm/{TAGGED}", folder)


def test_names_are_timms_and_ours() -> None:
    assert "cifar_resnet20" in source.names()
    assert source.names("test_resnet") == [NETWORK]
    assert source.names("test_resnet.*") == [TAGGED]
    assert source.names("no such network") == []


def test_random_weights_need_no_network() -> None:
    model = source.open(NETWORK, False, {"num_classes": 7, "in_chans": 1})
    assert not model.training
    assert model(torch.zeros(1, 1, 64, 64)).shape == (1, 7)


def test_our_networks_open_by_name() -> None:
    assert source.open("cifar_resnet8", False, {})(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "seen", "todo"),
    [
        ("resnett50", "networks", "Did you mean resnet50"),
        ("cifar_resnet200", "networks", "Did you mean cifar_resnet20"),
        ("test_resnet.r160_in2k", "r160_in1k", "Did you mean r160_in1k?"),
        ("cifar_resnet20.a1_in1k", "no weights", "leave the tag out: cifar_resnet20"),
        ("timm/resnet50", "Hub", "hf-hub:timm/resnet50"),
    ],
)
def test_an_unknown_name_says_what_is_there(name: str, seen: str, todo: str) -> None:
    with pytest.raises(ModelError) as raised:
        source.open(name, False, {})
    assert seen in raised.value.seen
    assert todo in raised.value.todo


def test_without_published_weights_pretrained_is_an_error() -> None:
    with pytest.raises(ModelError, match="no pretrained weights for cifar_resnet20") as raised:
        source.open("cifar_resnet20", True, {})
    assert "--no-pretrained" in raised.value.todo


def test_arguments_that_the_network_does_not_take_are_an_error() -> None:
    with pytest.raises(OptionError) as raised:
        source.open(NETWORK, False, {"num_clases": 10})
    assert "num_clases=10" in raised.value.seen


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_published_weights_are_loaded(hub: Hub, tmp_path: Path, file: str) -> None:
    published = trained()
    publish(hub, tmp_path / "repo", published, file)
    for name in (TAGGED, NETWORK):
        model = source.open(name, True, {})
        assert not model.training
        assert torch.equal(model(IMAGES), published(IMAGES))
        assert model.pretrained_cfg["tag"] == "r160_in1k"
        assert str(tmp_path) not in str(model.pretrained_cfg), "nothing of this machine's paths"
        assert "state_dict" not in model.pretrained_cfg


def test_another_number_of_classes_renews_the_classifier_only(hub: Hub, tmp_path: Path) -> None:
    published = trained()
    publish(hub, tmp_path / "repo", published)
    model = source.open(TAGGED, True, {"num_classes": 5})
    assert model(IMAGES).shape == (2, 5)
    assert torch.equal(model.forward_features(IMAGES), published.forward_features(IMAGES))


def test_fetched_weights_open_offline_and_at_once(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    publish(hub, tmp_path / "repo", trained())
    online = source.open(TAGGED, True, {})(IMAGES)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    asked = len(hub.requests)
    started = time.perf_counter()
    assert torch.equal(source.open(TAGGED, True, {})(IMAGES), online)
    assert time.perf_counter() - started < 3
    assert len(hub.requests) == asked


def test_weights_that_do_not_fit_name_the_first_keys(hub: Hub, tmp_path: Path) -> None:
    state = trained().state_dict()
    state["conv1.0.bias"] = torch.zeros(3)
    del state["bn1.weight"], state["bn1.bias"], state["bn1.running_mean"], state["bn1.running_var"]
    state["fc.weight"] = torch.zeros(1000, 8)
    (tmp_path / "repo").mkdir()
    save_file(state, tmp_path / "repo" / "model.safetensors")
    hub.add_folder(f"timm/{TAGGED}", tmp_path / "repo")
    with pytest.raises(ModelError, match=f"do not fit {TAGGED}") as raised:
        source.open(TAGGED, True, {})
    assert "missing: bn1.weight, bn1.bias, bn1.running_mean and 1 more" in raised.value.seen
    assert "unexpected: conv1.0.bias" in raised.value.seen
    assert "of another shape: fc.weight is (1000, 8), not (1000, " in raised.value.seen


def test_a_pickle_with_code_in_it_is_not_run(hub: Hub, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(trap),))

    (tmp_path / "repo").mkdir()
    torch.save({"state_dict": Trap()}, tmp_path / "repo" / "pytorch_model.bin")
    hub.add_folder(f"timm/{TAGGED}", tmp_path / "repo")
    with pytest.raises(ModelError, match="cannot be read"):
        source.open(TAGGED, True, {})
    assert not trap.exists()


def test_offline_is_told_in_three_lines_within_seconds(tmp_path: Path) -> None:
    """As a user meets it: a fresh process, nothing in the cache, and a Hub that is not there."""
    script = (
        "import time\nfrom greenadapt.errors import ModelError\nfrom greenadapt.sources.timm import source\n"
        "started = time.perf_counter()\n"
        f"try: source.open({TAGGED!r}, True, {{}})\n"
        "except ModelError as error: print(error)\n"
        "print(time.perf_counter() - started)\n"
    )
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("proxy")}
    env |= {"HF_ENDPOINT": "http://no-such-host.invalid", "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    happened, seen, todo, seconds = done.stdout.splitlines()
    assert happened == f"The weights of {TAGGED} cannot be downloaded."
    assert "no-such-host.invalid" in seen
    assert "--no-pretrained" in todo
    assert float(seconds) < 12
    assert done.stderr == "", "no warnings of retries"


def test_a_server_that_takes_the_call_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        started = time.perf_counter()
        reason = why_unreachable(f"http://127.0.0.1:{server.getsockname()[1]}", seconds=0.5)
    assert reason is not None
    assert reason.startswith("127.0.0.1 cannot be reached: ")
    assert time.perf_counter() - started < 3


def test_the_switch_to_stay_offline_is_obeyed(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError) as raised:
        source.open(TAGGED, True, {})
    assert "HF_HUB_OFFLINE" in raised.value.seen
    assert hub.requests == []


def test_weights_at_an_address_are_told_in_seconds_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path), raising=False)
    url = "http://127.0.0.1:9/weights/net-12345678.pth"
    started = time.perf_counter()
    with pytest.raises(ModelError, match="The weights of net cannot be downloaded") as raised:
        check_downloadable(url, "net")
    assert "127.0.0.1" in raised.value.seen
    assert time.perf_counter() - started < 6
    kept = torch_cache_file(url)
    kept.parent.mkdir(parents=True)
    kept.touch()
    check_downloadable(url, "net")


def test_any_answer_is_a_sign_of_life(hub: Hub) -> None:
    assert why_unreachable(f"{hub.address}/deep/inside") is None
    assert hub.requests == ["HEAD /"]

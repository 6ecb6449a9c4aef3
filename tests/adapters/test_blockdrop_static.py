"""Single paths as plain networks, and the router over them."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from torch import nn

import greenadapt
from greenadapt.adapters.blockdrop.paths import limit_paths
from greenadapt.adapters.blockdrop.static import Router, static_path
from greenadapt.adapters.execution import OnePath, under
from greenadapt.adapters.gates import Gated
from greenadapt.errors import ModelError, OptionError
from greenadapt.testing import awake

NETWORKS = {
    "cifar_resnet14": (32, {}),
    "resnet18": (32, {}),
    "vit_tiny_patch16_224": (32, {"granularity": "branch"}),
    # Its gated MLP has an attribute `gate_last` of its own.
    "eva02_tiny_patch14_224": (28, {"granularity": "branch"}),
}


@cache
def _made(name):
    size, options = NETWORKS[name]
    torch.manual_seed(0)
    base = awake(name, **({"img_size": size, "depth": 3} if "patch" in name else {}))
    return base.eval(), greenadapt.wrap(base, "blockdrop", keep=0.5, **options).eval()


def made(name):
    base, model = _made(name)
    return base, copy.deepcopy(model), torch.randn(3, 3, NETWORKS[name][0], NETWORKS[name][0])


def path_of(model, step=3):
    return [index % step != 1 for index in range(model.greenadapt_blocks)]


def logits_of(model, path, images):
    with under(OnePath(path)):
        return model(images)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_path_is_a_plain_network_with_the_logits_of_the_run(name):
    base, model, images = made(name)
    path = path_of(model)
    static = static_path(model, path)
    assert type(static) is type(base)
    assert not any(isinstance(module, Gated) for module in static.modules())
    assert not any(key.startswith("greenadapt") for key in static.state_dict())
    assert set(static.state_dict()) < set(base.state_dict()) | {
        k for k in static.state_dict() if "downsample" in k
    }
    assert torch.equal(static(images), logits_of(model, path, images))
    assert not torch.allclose(static(images), base(images), rtol=1e-2)
    # The model it was made from is as it was.
    whole = [True] * model.greenadapt_blocks
    assert torch.equal(logits_of(model, whole, images), base(images))


def test_a_path_shares_the_weights_and_not_the_hooks():
    _, model, images = made("resnet18")
    seen = []
    model.fc.register_forward_hook(lambda *args: seen.append(args))
    static = static_path(model, path_of(model))
    assert static.fc.weight is model.fc.weight
    static(images)
    assert not seen


@pytest.mark.parametrize("name", NETWORKS)
def test_a_path_compiles_in_one_graph_and_exports(name):
    _, model, images = made(name)
    path = path_of(model)
    static = static_path(model, path)
    expected = logits_of(model, path, images)
    torch.testing.assert_close(torch.compile(static, fullgraph=True, backend="eager")(images), expected)
    torch.testing.assert_close(torch.export.export(static, (images,)).module()(images), expected)


def test_a_path_exports_to_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    _, model, images = made("cifar_resnet14")
    file = tmp_path / "path.onnx"
    torch.onnx.export(static_path(model, path_of(model)), (images,), str(file), dynamo=True)
    assert file.stat().st_size > 0


@pytest.mark.parametrize("path", [[True], [], [0.3] * 6, [[True] * 6]])
def test_a_path_for_another_network(path):
    _, model, _ = made("cifar_resnet14")
    with pytest.raises(OptionError, match="does not fit"):
        static_path(model, path)
    with pytest.raises(ModelError, match="no paths"):
        static_path(awake("cifar_resnet14"), path)


class Asked(nn.Module):
    """Keeps block k where the image's pixel k is positive."""

    def __init__(self, blocks):
        super().__init__()
        self.blocks = blocks

    def forward(self, images):
        return (images[:, 0, 0, : self.blocks] > 0).float()


@pytest.mark.parametrize("backend", [None, "eager"])
def test_a_router_sends_every_sample_down_its_path(backend):
    _, model, _ = made("cifar_resnet14")
    blocks = model.greenadapt_blocks
    model.greenadapt_policy = Asked(blocks)
    images = torch.randn(9, 3, 32, 32)
    images[0, 0, 0] = 1
    table = images[:, 0, 0, :blocks] > 0
    paths = limit_paths(table, 3)
    router = Router(model, paths, backend)
    assert len(router.paths) == 3
    found = router(images)
    for image, row, logits in zip(images, table, found, strict=True):
        allowed = next(
            path
            for path in paths.tolist()
            if all(p or not r for p, r in zip(path, row.tolist(), strict=True))
        )
        torch.testing.assert_close(logits, logits_of(model, allowed, image[None])[0], rtol=1e-4, atol=1e-5)
    assert router(images[:0]).shape == (0, 10)
    torch.testing.assert_close(router(images[:1])[0], found[0], rtol=1e-4, atol=1e-5)


def test_nothing_to_route():
    _, model, _ = made("cifar_resnet14")
    whole = torch.ones(1, model.greenadapt_blocks, dtype=torch.bool)
    for paths in (~whole, torch.cat([whole, ~whole]), whole[:0], whole * 0.4):
        with pytest.raises(OptionError):
            Router(model, paths)
    with pytest.raises(ModelError, match="nothing to route"):
        Router(model)

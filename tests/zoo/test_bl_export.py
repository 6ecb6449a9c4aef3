"""A Big-Little network is a static graph: it compiles and exports whole, and runs in every usual format."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

import greenadapt
from greenadapt.zoo import BigLittleResNet
from tests.graphs import assert_compiles, assert_exports_for_any_batch, assert_trains_compiled

SIZE = 64


def published() -> nn.Module:
    torch.manual_seed(0)
    return BigLittleResNet((2, 2, 3, 1), num_classes=5, zero_init_last=False).eval()


def converted() -> nn.Module:
    torch.manual_seed(0)
    base = timm.create_model("cifar_resnet14", in_chans=3)
    return greenadapt.wrap(base, "biglittle", inplace=True).eval()


@pytest.fixture(scope="module", params=[published, converted])
def model(request: pytest.FixtureRequest) -> nn.Module:
    """Not to be changed."""
    made: nn.Module = request.param()
    return made


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiles_as_one_graph(model: nn.Module, images: torch.Tensor, backend: str) -> None:
    assert_compiles(model, images, backend)


def test_compiles_for_training_too(images: torch.Tensor) -> None:
    assert_trains_compiled(published(), images)


def test_exports_for_any_batch(model: nn.Module, images: torch.Tensor) -> None:
    assert_exports_for_any_batch(model, images)


def test_channels_last_stays_so(model: nn.Module, images: torch.Tensor) -> None:
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    x = images.to(memory_format=torch.channels_last)
    with torch.no_grad():
        torch.testing.assert_close(last(x), model(images), rtol=1e-4, atol=1e-4)
        features = last.forward_intermediates(x, intermediates_only=True)
    assert all(f.is_contiguous(memory_format=torch.channels_last) for f in features)


def test_autocast(model: nn.Module, images: torch.Tensor) -> None:
    with torch.no_grad():
        want = model(images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = model(images)
        assert got.dtype == torch.bfloat16
        assert (got.float() - want).abs().max() < 0.05 * want.abs().max() + 0.02
        half = copy.deepcopy(model).bfloat16()(images.bfloat16())
        assert (half.float() - want).abs().max() < 0.05 * want.abs().max() + 0.02


def test_autocast_trains(images: torch.Tensor) -> None:
    network = published().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network(images).float().square().mean()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_onnx(model: nn.Module, images: torch.Tensor) -> None:
    pytest.importorskip("onnxscript")
    program = torch.onnx.export(model, (images,), dynamo=True)
    assert program is not None
    pytest.importorskip("onnxruntime")
    with torch.no_grad():
        torch.testing.assert_close(program(images)[0], model(images), rtol=1e-3, atol=1e-3)

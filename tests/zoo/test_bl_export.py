"""The paper's networks are static graphs: they compile and export whole, and run in every usual format."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from greenadapt.zoo import BigLittleResNet
from tests import graphs

SIZE = 64


def published(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    return BigLittleResNet((2, 2, 3, 1), num_classes=5, zero_init_last=False, **options).eval()


@pytest.fixture(scope="module", params=[{}, {"cardinality": 32, "base_width": 4, "squeeze": True}], ids=str)
def model(request: pytest.FixtureRequest) -> nn.Module:
    """Small as a bL-ResNet and as a bL-SEResNeXt; not to be changed."""
    return published(**request.param)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_compiles_as_one_graph(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_compiles(model, images, "aot_eager")


def test_compiles_for_training_too(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_trains_compiled(model, images)


@pytest.mark.parametrize("strict", [False, True])
def test_exports_for_any_batch(model: nn.Module, images: torch.Tensor, strict: bool) -> None:
    graphs.assert_exports_for_any_batch(model, images, rtol=1e-4, atol=1e-4, strict=strict)


def test_onnx(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_onnx_gives_the_same_logits(model, images)


def test_channels_last_stays_so(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_stays_channels_last(model, images)


@pytest.mark.parametrize("weights_too", [False, True])
def test_bf16(model: nn.Module, images: torch.Tensor, weights_too: bool) -> None:
    graphs.assert_runs_in_bf16(model, images, weights_too)


def test_trains_in_mixed_precision(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_trains_in_mixed_precision(model, images)


def test_trains_in_float16(images: torch.Tensor) -> None:
    # A processor without units for float16 is slow at it: two images will do.
    graphs.assert_trains_in_mixed_precision(published(), images[:2], torch.float16)


def test_checkpointing_changes_no_gradient(model: nn.Module, images: torch.Tensor) -> None:
    graphs.assert_checkpointing_changes_no_gradient(model, images)

"""`torch.compile` as it comes, with inductor: a Big-Little network becomes one graph with the same logits.

The first run compiles every kernel, which takes most of a minute of processor time. They are kept scalar,
because the headers of vector ones cost more to compile than all the rest.
"""

from __future__ import annotations

import pytest
import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from greenadapt.adapters.biglittle.adapter import adapter
from greenadapt.adapters.biglittle.config import BigLittleConfig
from greenadapt.zoo import BigLittleResNet
from tests.graphs import assert_compiles

pytestmark = pytest.mark.slow
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def _compiler() -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        pytest.skip(f"inductor needs a C++ compiler: {error}")


def assert_compiles_with_inductor(model: nn.Module, freezing: bool) -> None:
    from torch._inductor import config

    with config.patch({"compile_threads": 1, "cpp.simdlen": 1, "freezing": freezing}):
        assert_compiles(model.eval(), IMAGES, "inductor")


def test_a_converted_network() -> None:
    torch.manual_seed(0)
    base = ResNet(BasicBlock, (2, 1, 1, 1), num_classes=5, channels=(16, 16, 16, 16), zero_init_last=False)
    assert_compiles_with_inductor(adapter.wrap(base, BigLittleConfig(init="random")), freezing=False)


def test_a_network_of_the_paper_with_its_weights_frozen() -> None:
    torch.manual_seed(0)
    network = BigLittleResNet((2, 2, 2, 1), num_classes=5, zero_init_last=False)
    assert_compiles_with_inductor(network, freezing=True)

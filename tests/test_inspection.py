"""What a network tells about its input: stated channels count before those of its first convolution."""

from __future__ import annotations

import pytest
import timm
import torch

from greenadapt.adapters.blockdrop.adapter import adapter
from greenadapt.adapters.blockdrop.config import BlockDropConfig
from greenadapt.inspection import input_shape

SHALLOW = {"depths": (1, 1, 2, 2), "transformer_depths": (0, 0, 1, 1)}


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "levit_128s"])
def test_the_channels_are_those_that_a_network_was_built_for(name):
    with torch.device("meta"):
        assert input_shape(timm.create_model(name, in_chans=1))[0] == 1


def test_a_network_without_a_statement_is_told_by_its_first_convolution():
    assert input_shape(torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3))) == (4, 224, 224)


def test_a_network_that_transforms_its_images_first_gets_a_policy_for_images():
    base = timm.create_model("csatv2", num_classes=5, **SHALLOW).eval()
    assert input_shape(base) == (3, 512, 512)
    thin = adapter.wrap(base, BlockDropConfig())
    with torch.inference_mode():
        assert thin(torch.randn(2, 3, 512, 512)).shape == (2, 5)

"""Weights read from a table are drawn from the same distributions, and the methods of tensors come back."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor

from tests.bench.zoo.drawing import from_tables


def test_a_network_is_drawn_from_the_same_distributions():
    with from_tables():
        quick = dict(timm.create_model("test_vit2").named_parameters())
    for name, usual in timm.create_model("test_vit2").named_parameters():
        assert quick[name].shape == usual.shape
        if usual.numel() > 5000:
            assert float(quick[name].std()) == pytest.approx(float(usual.std()), rel=0.1)


def test_the_rows_of_a_weight_differ_whatever_its_width():
    with from_tables():
        drawn = torch.empty(3000, 1024).normal_(1.0, 2.0)
    assert len(torch.unique(drawn[:, 0])) > 2900
    assert float(drawn.mean()) == pytest.approx(1.0, abs=0.01)
    assert float(drawn.std()) == pytest.approx(2.0, rel=0.01)


def failing():
    one, two = (torch.empty(9).uniform_(generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    raise ZeroDivisionError


def test_a_generator_is_obeyed_and_the_methods_come_back_after_an_error():
    before = Tensor.uniform_
    with pytest.raises(ZeroDivisionError), from_tables():
        failing()
    assert Tensor.uniform_ is before

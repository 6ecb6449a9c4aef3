"""What an audit refuses, before anything is measured."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt import audit
from greenadapt.errors import DataError, OptionError
from tests.small import SHORT, images, network


@pytest.mark.parametrize(
    ("data", "arguments", "seen"),
    [
        (images(channels=3), {}, "3 channels; the network takes 1"),
        (images(classes=12), {}, "has 10 classes"),
        (images(count=5), {}, "5 images; the batch size is 8"),
        (images(shuffle=True), {}, "shuffles"),
        (images(size=2), {"name": "test_vit"}, "does not run"),
        ([1, 2, 3], {}, "list"),
        (DataLoader(TensorDataset(torch.zeros(9, 1, 28, 28)), batch_size=9), {}, "of 1"),
    ],
)
def test_data_that_do_not_fit_are_an_error_before_anything_is_measured(data, arguments, seen):
    told: list[str] = []
    with pytest.raises(DataError, match=seen):
        audit(network(**arguments), data=data, plan=SHORT, progress=lambda message, _: told.append(message))
    assert not [message for message in told if "trials" in message or "warming" in message]


def test_data_of_ours_that_do_not_fit():
    with pytest.raises(DataError, match="9"):
        audit(network(num_classes=4), data=greenadapt.open_data("fashion-mnist-2000", limit=16), plan=SHORT)


def test_a_network_that_returns_no_logits():
    with pytest.raises(DataError, match="not logits"):
        audit(nn.Sequential(nn.Conv2d(1, 2, 3)), data=images(), plan=SHORT)


class Stubborn(nn.Module):
    """Cannot be converted: it makes fp32 numbers of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(28, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.float().mean((1, 2)))


def test_a_precision_that_does_not_work_is_an_error():
    with pytest.raises(OptionError, match="does not run as bf16"):
        audit(Stubborn(), data=images(), plan=SHORT.model_copy(update={"precision": "bf16"}))


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        ({"places": ["FRX"]}, "FRA"),
        ({"names": ["one", "two"]}, "1 networks"),
        ({"plan": SHORT.model_copy(update={"meter": "nvmm"})}, "nvml"),
        ({"plan": SHORT.model_copy(update={"device": "gpu"})}, "not a device"),
    ],
)
def test_options_that_do_not_exist(arguments, seen):
    start = time.perf_counter()
    with pytest.raises(OptionError, match=seen):
        audit(network(), **({"data": images(), "plan": SHORT} | arguments))
    assert time.perf_counter() - start < 5


def test_nothing_to_audit():
    with pytest.raises(OptionError, match="nothing"):
        audit()

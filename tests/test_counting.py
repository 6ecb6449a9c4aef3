"""What is counted: multiply-adds by hand, of what runs; and that counting leaves a network as it was."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import greenadapt
from greenadapt.counting import counting
from tests.small import SHORT, images

_CONV, _LINEAR = 4 * 28 * 28 * 9, 4 * 10


class Token(nn.Module):
    """Hands a parameter of its own to another module, as a class token is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head, self.mixed = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 10), nn.Identity()
        self.token = nn.Parameter(torch.zeros(1, 4))

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)) + self.mixed(self.token))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_convolutions_and_matrix_products_count_and_nothing_else_does(device):
    network = Token().to(device)
    with counting(network) as counter:
        network(torch.zeros(3, 1, 28, 28, device=device))
        once = counter.macs
        network(torch.zeros(1, 1, 28, 28, device=device))
    assert [once, counter.macs] == [3 * (_CONV + _LINEAR), 4 * (_CONV + _LINEAR)]


def test_every_parameter_asks_for_a_gradient_again_even_after_an_error():
    network = Token()
    network.head.requires_grad_(False)
    before = {name: p.requires_grad for name, p in network.named_parameters()}
    with counting(network):
        network(torch.zeros(1, 1, 28, 28))
    with pytest.raises(RuntimeError), counting(network):
        network(torch.zeros(1, 2, 28, 28))
    assert {name: p.requires_grad for name, p in network.named_parameters()} == before


def test_an_audit_counts_a_network_with_a_token():
    profile = greenadapt.audit(Token(), data=images(8), plan=SHORT)
    assert profile.subject.macs_per_image == _CONV + _LINEAR

"""Few allowed paths: every sample's own is contained, and they cost little more than its own."""

from __future__ import annotations

import pytest
import torch

import greenadapt
from greenadapt.adapters.blockdrop.paths import assign, limit, limit_paths, no_limit, restrict
from greenadapt.errors import ModelError


def drawn(samples: int, blocks: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(samples, blocks, generator=torch.Generator().manual_seed(seed)) < 0.5


@pytest.mark.parametrize("most", [1, 2, 5, 300])
def test_never_fewer_blocks_than_asked_for_and_the_whole_network_is_always_there(most):
    table = drawn(200, 12)
    paths = limit_paths(table, most)
    assert len(paths) <= most
    assert paths[-1].all()
    assert len(paths.unique(dim=0)) == len(paths)
    given = paths[assign(table, paths)]
    assert not (table & ~given).any()
    unseen = drawn(200, 12, seed=1)
    assert not (unseen & ~restrict(unseen, paths)).any()


def test_as_many_paths_as_occur_change_nothing():
    table = drawn(20, 12)
    torch.testing.assert_close(restrict(table, limit_paths(table, 21)), table)


def test_clusters_are_found():
    torch.manual_seed(2)
    centres = drawn(4, 20, seed=5)
    own = torch.randint(0, 4, (400,))
    table = centres[own] & (torch.rand(400, 20) < 0.9)
    paths = limit_paths(table, 5)
    given = restrict(table, paths)
    assert given.float().mean() <= centres[own].float().mean() + 1e-6


def test_the_dear_block_is_the_one_that_is_spared():
    table = torch.tensor([[True, True, False], [True, False, True], [False, True, True]])
    assert limit_paths(table, 3, costs=[9.0, 1.0, 1.0])[0].tolist() == [False, True, True]
    assert limit_paths(table, 3, costs=[1.0, 1.0, 9.0])[0].tolist() == [True, True, False]


def test_a_longer_list_never_costs_more():
    table = drawn(300, 10)
    cost = []
    for most in (1, 2, 4, 8, 16, 64):
        paths = limit_paths(table, most)
        cost.append(paths[assign(table, paths)].float().mean().item())
    assert cost == sorted(cost, reverse=True)
    assert cost[0] == 1.0


def test_not_limited_yet_changes_nothing():
    table = drawn(10, 6)
    assert torch.equal(restrict(table, no_limit(8, 6)), table)
    assert torch.equal(restrict(table, no_limit(0, 6)), table)


def test_no_sample_leaves_the_whole_network():
    assert limit_paths(torch.zeros(0, 4, dtype=torch.bool), 3).tolist() == [[True] * 4]


@pytest.mark.parametrize(
    "wrong", [{"most": 0}, {"most": 2, "costs": [1.0]}, {"most": 2, "costs": [1.0] * 5 + [0.0]}]
)
def test_wrong_arguments(wrong):
    with pytest.raises(greenadapt.GreenadaptError):
        limit_paths(drawn(4, 6), **wrong)


class Asked(torch.nn.Module):
    """Keeps a block where the image's pixel of that number is positive."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return (images.flatten(1)[:, :6] > 0).float()


def test_limit_fills_the_buffer_and_says_the_shares():
    model = torch.nn.Module()
    model.greenadapt_policy = Asked().train()
    model.register_buffer("greenadapt_allowed", no_limit(4, 6))
    images = torch.randn(40, 1, 4, 4)
    shares = limit(model, [(images[:30], None), images[30:]])
    assert sum(shares) == pytest.approx(1)
    assert model.greenadapt_policy.training
    assert model.greenadapt_allowed.shape == (4, 6)
    assert len(model.greenadapt_allowed.unique(dim=0)) == 4


def test_a_model_without_policy_cannot_be_limited():
    with pytest.raises(ModelError):
        limit(torch.nn.Linear(2, 2), [])

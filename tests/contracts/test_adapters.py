"""Every adapter that ships with the package, held to the adapter contract."""

from __future__ import annotations

import pytest
import torch

from greenadapt.testing import awake, check_adapter

NETWORKS = [
    ("cifar_resnet14", {"in_chans": 1, "num_classes": 10}, 28),
    ("resnet18", {}, 64),
    ("resnet26", {}, 64),
]
ADAPTERS = [
    ("blockdrop", {"keep": 0.5, "policy": "spread"}, {"keep": 1.0}),
    ("blockdrop", {"keep": 0.5}, {"keep": 0.5}),
    ("biglittle", {"alpha": 2, "beta": 4}, None),
]


@pytest.mark.parametrize(("reference", "args", "size"), NETWORKS, ids=[n[0] for n in NETWORKS])
@pytest.mark.parametrize(("name", "options", "neutral"), ADAPTERS, ids=["fixed", "learned", "biglittle"])
def test_adapter_keeps_the_contract(reference, args, size, name, options, neutral):
    model = awake(reference, **args)
    torch.manual_seed(0)
    images = torch.randn(4, args.get("in_chans", 3), size, size)
    check_adapter(name, model, images, options=options, neutral=neutral)

"""What a policy costs is counted in: a profile's FLOPs are those of the images' own paths and the policy."""

from __future__ import annotations

import time

import pytest
import torch

import greenadapt
from greenadapt.adapters.blockdrop.payback import payback
from greenadapt.testing import awake
from tests.small import SHORT, images


@pytest.fixture
def thin():
    """A model whose policy sends images along several paths."""
    model = greenadapt.wrap(awake("cifar_resnet14", in_chans=1, num_classes=10), "blockdrop", keep=0.5)
    head = model.greenadapt_policy.net.fc
    torch.manual_seed(0)
    torch.nn.init.normal_(head.weight, 0, 2)
    with torch.no_grad():
        # Noise looks alike to a fresh network; about the mean of their logits the images differ.
        logits = torch.cat([model.greenadapt_policy(batch).logit() for batch, _ in images(40, size=32)])
        head.bias -= logits.mean(0)
    return model


def test_macs_of_a_profile_are_the_mean_over_the_images_own_paths_and_the_policy(thin):
    data = images(40, size=32)
    table = torch.cat([thin.greenadapt_paths(batch) for batch, _ in data])
    assert len(table.unique(dim=0)) > 3
    parts = payback(thin, budget_seconds=0.05).parts
    always = parts.whole_macs - sum(block.saved_macs for block in parts.blocks)
    blocks = torch.tensor([float(block.saved_macs) for block in parts.blocks])
    expected = always + thin.greenadapt_policy.macs + (table.float() @ blocks).mean().item()
    profile = greenadapt.audit(thin, data=data, plan=SHORT)
    assert profile.subject.macs_per_image == pytest.approx(expected, rel=1e-6)


def test_the_time_of_a_slow_policy_is_in_the_profile(thin):
    thin.greenadapt_policy.register_forward_hook(lambda *_: time.sleep(0.03))
    profile = greenadapt.audit(thin, data=images(), plan=SHORT)
    assert profile.summary.seconds_per_inference.mean * SHORT.batch_size >= 0.03

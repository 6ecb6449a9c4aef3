"""Gates cut a block's other arguments down to the samples that a run asks for."""

from __future__ import annotations

import copy

import pytest
import timm
import torch

from greenadapt.adapters.execution import Gathered, OnePath, execute
from greenadapt.adapters.gates import all_sliceable, checkpoint_gates, gate, running, under
from greenadapt.adapters.residual import residual_blocks
from tests.adapters.test_residual import Net, Plain
from tests.bench.zoo.oracle import awake


def one_by_one(model, images, table):
    rows = []
    for image, row in zip(images, table, strict=True):
        with under(OnePath(tuple(row.tolist()))):
            rows.append(model(image[None]))
    return torch.cat(rows)


class Asking(Plain):
    """Uses a mask that is by sample and a table that is not, though it has as many rows as the batch."""

    def forward(self, x, mask=None, *, table=None):
        assert len(mask) == len(x)
        assert len(table) == 5
        return super().forward(x * 1.0) + self.conv(x) * mask[:, None] * table.sum()


def test_arguments_of_a_sample_go_with_it_and_shared_ones_stay():
    model = Net(Asking(), Asking(), Asking()).eval()
    gate(residual_blocks(model))
    assert all_sliceable(model)
    torch.manual_seed(0)
    # As many images as the table has rows: only what was recorded tells them apart.
    images, table = torch.randn(5, 3, 16, 16), torch.rand(5, 3) < 0.5
    with torch.inference_mode(), under(Gathered(table, images.device)):
        found = model(images)
    with torch.inference_mode():
        torch.testing.assert_close(found, one_by_one(model, images, table), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "sliceable"),
    [
        ("test_vit", {}, True),
        ("eva02_tiny_patch14_224", {"depth": 2, "img_size": 56}, True),
        ("tnt_s_legacy_patch16_224", {"depth": 2, "img_size": 64}, False),
        ("pvt_v2_b0", {}, True),
    ],
)
def test_mixed_batches_of_blocks_with_more_arguments(name, options, sliceable):
    model = awake(timm.create_model(name, **options).eval())
    gate(residual_blocks(model))
    assert all_sliceable(model) == sliceable
    torch.manual_seed(0)
    size = options.get("img_size", 64)
    count = sum(b.droppable for b in residual_blocks(model))
    images, table = torch.randn(4, 3, size, size), torch.rand(4, count) < 0.5
    with torch.inference_mode():
        expected = one_by_one(model, images, table)
        found = execute(model, images, table, "gathered", sliceable=sliceable)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_checkpointing_moves_the_statistics_of_norms_once():
    images, moved = torch.randn(4, 3, 64, 64), []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = awake(timm.create_model("test_resnet")).train()
        gate(residual_blocks(model))
        checkpoint_gates(model, checkpointing)
        count = sum(b.droppable for b in residual_blocks(model))
        with under(OnePath((True,) * count)):
            model(images).square().sum().backward()
        moved.append(dict(model.named_buffers()))
    for name, value in moved[0].items():
        torch.testing.assert_close(value, moved[1][name], rtol=0, atol=0)
    assert moved[1]["bn1.num_batches_tracked"] == 1


@pytest.mark.parametrize("checkpointing", [False, True])
def test_one_sample_alone_is_trained_on_the_statistics_that_a_block_has(checkpointing):
    model = awake(timm.create_model("resnet18")).train()
    gate(residual_blocks(model))
    checkpoint_gates(model, checkpointing)
    table = torch.ones(4, sum(b.droppable for b in residual_blocks(model)), dtype=torch.bool)
    table[1:, -1] = False
    before = {name: value.clone() for name, value in model.named_buffers()}
    # The last stage has 1x1 pixels, of which a norm in train mode wants two.
    execute(model, torch.randn(4, 3, 32, 32), table, "gathered").square().sum().backward()
    assert torch.equal(model.layer4[1].bn1.running_mean, before["layer4.1.bn1.running_mean"])
    assert not torch.equal(model.layer4[0].bn1.running_mean, before["layer4.0.bn1.running_mean"])
    assert model.layer4[1].conv1.weight.grad.any()
    assert all(module.training for module in model.modules())


def gradients_of_summed_losses(model, images, tables, checkpointing):
    """Of one loss over several batches, whose forwards all come before the backward."""
    model = copy.deepcopy(model)
    checkpoint_gates(model, checkpointing)
    outputs = [execute(model, x, t, "gathered") for x, t in zip(images, tables, strict=True)]
    sum(output.square().sum() for output in outputs).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}, dict(model.named_buffers())


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("forwards", [1, 2])
@pytest.mark.parametrize("block", [2, 3])
def test_gradients_of_a_block_that_one_sample_runs_are_of_the_statistics_it_used(
    block, forwards, checkpointing, monkeypatch
):
    """Block 2 has a projection, whose norm sees the other samples too, and moves its statistics by them."""
    torch.manual_seed(0)
    model = awake(timm.create_model("resnet18", num_classes=3)).double().train()
    gate(residual_blocks(model))
    images = [torch.randn(4, 3, 64, 64, dtype=torch.double) for _ in range(forwards)]
    tables = [torch.ones(4, 8, dtype=torch.bool) for _ in images]
    tables[0][1:, block] = False
    found, moved = gradients_of_summed_losses(model, images, tables, checkpointing)

    def on_copies(x, mean, variance, weight, bias, training, momentum, eps):
        if not training:
            mean, variance = mean.clone(), variance.clone()
        return batch_norm(x, mean, variance, weight, bias, training, momentum, eps)

    batch_norm = torch.nn.functional.batch_norm
    monkeypatch.setattr(torch.nn.functional, "batch_norm", on_copies)
    expected, expected_moved = gradients_of_summed_losses(model, images, tables, False)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(moved, expected_moved)


def test_checkpointing_gives_the_gradients_of_the_same_path():
    model = awake(timm.create_model("test_resnet")).eval()
    gate(residual_blocks(model))
    count = sum(b.droppable for b in residual_blocks(model))
    path = tuple(k % 2 == 1 for k in range(count))
    images = torch.randn(2, 3, 64, 64)
    gradients = []
    for checkpointing in (False, True):
        for block in residual_blocks(model):
            block.module.gate_checkpointing = checkpointing
        model.zero_grad()
        with under(OnePath(path)):
            loss = model(images).square().sum()
        # The decision is taken in the forward: the recomputation happens outside the run.
        assert not running()
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert (plain is None) == (recomputed is None)
        if plain is not None:
            torch.testing.assert_close(plain, recomputed, rtol=0, atol=0)

"""Ways to run a mixed batch: equal to the mask, harmless to what others hold, and reentrant."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

import greenadapt
from greenadapt.adapters.execution import (
    CostModel,
    Gathered,
    Masked,
    OnePath,
    execute,
    measure_costs,
    under,
)
from greenadapt.adapters.execution.placing import by_likeness, columns, stretches, take
from greenadapt.adapters.execution.timing import Moving, Times
from greenadapt.testing import awake
from tests.mixed_batches import batch, drawn, made_up, plain, wrapped

IN_STRETCHES = made_up(8, 0.0, 1.0, take=1.0)
GATHERED = made_up(8, 1.0, 1e-6)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("costs", [None, IN_STRETCHES, GATHERED])
@pytest.mark.parametrize("mode", ["grouped", "gathered", "auto"])
def test_every_way_gives_the_logits_of_the_mask(mode, costs, channels_last):
    model, images = wrapped(), batch(channels_last=channels_last)
    table = drawn(6, 8)
    with torch.inference_mode():
        expected = execute(plain(model), images, table, "masked")
        found = execute(plain(model), images, table, mode, costs)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ["grouped", "gathered"])
def test_gradients_are_those_of_the_mask(mode):
    model, images, table = wrapped("cifar_resnet14"), batch(4), drawn(4, 6)
    costs = made_up(6, 0.0, 1.0, take=1.0)
    found = []
    for way in ("masked", mode):
        model.zero_grad()
        execute(plain(model), images, table, way, costs).square().sum().backward()
        found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() >= found[1].keys()
    for name, gradient in found[1].items():
        torch.testing.assert_close(gradient, found[0][name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("costs", [None, IN_STRETCHES])
def test_channels_last_is_kept_from_block_to_block(costs):
    model, images, seen = wrapped(), batch(channels_last=True), []
    model = model.to(memory_format=torch.channels_last)
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            block.register_forward_hook(
                lambda m, a, o: seen.append(o.is_contiguous(memory_format=torch.channels_last))
            )
    with torch.inference_mode():
        execute(plain(model), images, drawn(6, 8), "gathered", costs)
    assert len(seen) >= 8
    assert all(seen)


@pytest.mark.parametrize("mode", ["grouped", "gathered"])
@pytest.mark.parametrize("costs", [None, IN_STRETCHES])
def test_what_hooks_and_callers_hold_is_never_written_to(mode, costs):
    model, images, held = wrapped(), batch(), []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in stage:
            block.register_forward_hook(
                lambda m, args, out: held.extend((t, t.clone()) for t in (args[0], out))
            )
    given = images.clone()
    with torch.inference_mode():
        execute(plain(model), images, drawn(6, 8), mode, costs)
    assert torch.equal(images, given)
    assert len(held) >= 16
    for tensor, as_seen in held:
        assert torch.equal(tensor, as_seen)


@pytest.mark.parametrize("costs", [None, made_up(4, 0.0, 1.0, take=1.0)])
def test_intermediates_of_an_identity_chain_are_each_their_own(costs):
    torch.manual_seed(0)
    model = greenadapt.wrap(
        awake("vit_tiny_patch16_224", img_size=32, depth=4).double(), "blockdrop", keep=0.5, policy="spread"
    ).eval()
    table, images = drawn(5, 4), batch(5, 32)
    call = lambda x: type(model).retrofit_base.forward_intermediates(model, x, norm=False)  # noqa: E731
    with torch.inference_mode():
        expected = execute(call, images, table, "masked")
        for mode in ("gathered", "grouped"):
            final, features = execute(call, images, table, mode, costs)
            torch.testing.assert_close(final, expected[0])
            torch.testing.assert_close(features, expected[1])


def test_portions_of_a_batch_give_the_same_and_stay_in_order():
    # A sample costs more in a larger batch, as where a cache overflows.
    times = {n: Times((n * n * 1.0,) * 8, (0.0,) * 8, n * n * 1.0, (1,) * 8) for n in (1, 2, 4, 8, 16)}
    costs, model, images, table, sizes = (
        CostModel(times, Moving(0, 0)),
        wrapped(),
        batch(16),
        drawn(16, 8),
        [],
    )
    model.conv1.register_forward_hook(lambda m, args, out: sizes.append(len(out)))
    with torch.inference_mode():
        expected = execute(plain(model), images, table, "masked")
        sizes.clear()
        found = execute(plain(model), images, table, "gathered", costs)
    assert sizes == [2] * 8
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_dropped_blocks_run_on_no_sample_and_kept_ones_on_theirs():
    model, images = wrapped(), batch()
    table, rows = drawn(6, 8), {}
    table[:, 2], table[:, 5] = False, True
    blocks = [block for stage in (model.layer1, model.layer2, model.layer3, model.layer4) for block in stage]
    for index, block in enumerate(blocks):
        block.conv2.register_forward_hook(
            lambda m, a, o, index=index: rows.update({index: rows.get(index, 0) + len(o)})
        )
    for mode, costs in (("grouped", None), ("gathered", None), ("gathered", IN_STRETCHES)):
        rows.clear()
        with torch.inference_mode():
            execute(plain(model), images, table, mode, costs)
        assert [rows.get(index, 0) for index in range(8)] == table.sum(0).tolist()


def test_blocks_that_cannot_run_on_a_part_of_the_batch_are_grouped():
    sizes = []

    def call(images):
        sizes.append(len(images))
        return images.sum((1, 2, 3))

    table = torch.tensor([[True], [False], [True]])
    images = batch(3, 4)
    found = execute(call, images, table, "gathered", sliceable=False)
    assert sorted(sizes) == [1, 2]
    torch.testing.assert_close(found, images.sum((1, 2, 3)))


def test_outputs_of_any_structure_come_back_in_order():
    images, table = batch(5, 4), drawn(5, 3, seed=2)
    call = lambda x: {"sum": x.sum((1, 2, 3)), "parts": [x, (x[:, 0], "name", x.new_ones(()))]}  # noqa: E731
    found = execute(call, images, table, "grouped")
    assert torch.equal(found["parts"][0], images)
    assert found["parts"][1][1] == "name"
    torch.testing.assert_close(found["sum"], images.sum((1, 2, 3)))


class Asked(nn.Module):
    """Keeps block k where the image's pixel k is positive."""

    def forward(self, images):
        return (images[:, 0, 0, :6] > 0).float()


def test_eight_threads_give_the_serial_logits():
    torch.manual_seed(0)
    model = greenadapt.wrap(awake("cifar_resnet14").double(), "blockdrop", keep=0.5).eval()
    model.greenadapt_policy = Asked()
    batches = [torch.randn(6, 3, 32, 32, dtype=torch.float64) for _ in range(16)]
    assert any(len(model.greenadapt_paths(images).unique(dim=0)) > 1 for images in batches)

    def logits(images):
        with torch.inference_mode():
            return model(images)

    # The first calls race for the measurement of the costs, too.
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(logits, batches))
    for images, one in zip(batches, found, strict=True):
        torch.testing.assert_close(one, logits(images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("run", ["path", "masked", "gathered"])
def test_a_recomputed_forward_sees_the_table_of_the_first(run):
    model, images, table = wrapped("cifar_resnet14"), batch(4, 32), drawn(4, 6)
    runs = {"path": lambda: OnePath(table[0].tolist()), "masked": lambda: Masked(table)}
    make = runs.get(run, lambda: Gathered(table, images.device))
    found = []
    for checkpointing in (False, True):
        model.set_grad_checkpointing(checkpointing)
        model.zero_grad()
        with under(make()):
            loss = plain(model)(images).square().sum()
        # The backward pass recomputes outside of the run.
        loss.backward()
        found.append([None if p.grad is None else p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(found[1], found[0])


def test_rows_and_stretches():
    table = torch.tensor([[1, 0], [1, 1], [0, 1], [1, 0]], dtype=torch.bool)
    first, second = columns(table, table, [True, True])
    assert (first.kept.tolist(), first.dropped.tolist()) == ([0, 1, 3], [2])
    assert first.stretches == ((True, 0, 2), (False, 2, 3), (True, 3, 4))
    assert (second.kept.tolist(), second.dropped.tolist()) == ([1, 2], [0, 3])
    assert stretches([True]) == ((True, 0, 1),)


def test_neighbours_in_the_order_of_likeness_keep_the_first_blocks_together():
    table = drawn(64, 10)
    paths, group_of = by_likeness(table)
    assert torch.equal(paths[group_of], table)
    ordered = table[torch.argsort(group_of, stable=True)]
    kept = [sum(kept for kept, *_ in stretches(ordered[:, block].tolist())) for block in range(4)]
    assert kept == [1, 1, 2, 4]


@pytest.mark.parametrize("channels_last", [False, True])
def test_taken_rows_keep_the_memory_format(channels_last):
    x = torch.randn(5, 4, 3, 3)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    rows = torch.tensor([3, 0])
    assert torch.equal(take(x, rows), x[rows])
    assert take(x, rows).is_contiguous(memory_format=torch.channels_last) == channels_last


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_table_is_all_that_is_waited_for():
    model = wrapped("resnet26").float().cuda()
    images, table = batch().float().cuda(), drawn(6, 8).cuda()
    with torch.inference_mode():
        expected = execute(plain(model), images, table, "masked")
        costs = measure_costs(model, images)
        for mode in ("grouped", "gathered"):
            found = execute(plain(model), images, table, mode, costs)
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
        host = table.cpu()
        torch.cuda.set_sync_debug_mode("error")
        try:
            with under(Gathered(table, images.device, host)):
                plain(model)(images)
        finally:
            torch.cuda.set_sync_debug_mode("default")

"""What blocks cost: what is made of a measurement, and that measuring leaves no trace."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch

import greenadapt
from greenadapt.adapters.execution import CostModel, costs_of, execute, measure_costs
from greenadapt.adapters.execution.placing import stretches
from greenadapt.adapters.execution.timing import Moving, Times
from greenadapt.counting import counting
from greenadapt.errors import ModelError
from greenadapt.testing import awake
from tests.mixed_batches import batch, drawn, made_up, plain, wrapped


class TestCosts:
    def test_dear_calls_are_gathered_and_dear_moves_are_grouped(self):
        table = drawn(32, 8)
        assert made_up(8, 1.0, 1e-3).choose(table) == "gathered"
        assert made_up(8, 0.0, 1.0, take=2.0, put=2.0).choose(table) == "grouped"

    @pytest.mark.parametrize("portion", [1, 5, 8, 16, 17])
    def test_seconds_of_a_batch_are_the_sum_of_its_parts(self, portion):
        table, one = (
            drawn(17, 5),
            {n: Times(tuple(n * k + 1.0 for k in range(5)), (0.3,) * 5, 2.0, (3,) * 5) for n in (1, 4)},
        )
        costs = CostModel(one, Moving(0.1, 0.2))
        seconds = 0.0
        for part in table.split(portion):
            seconds += costs.rest_seconds(len(part))
            for block in range(5):
                kept = int(part[:, block].sum())
                block_s, short_s = (
                    (lambda n, k=block: costs.block_seconds(k, n)),
                    (lambda n, k=block: costs.shortcut_seconds(k, n)),
                )
                gathered = block_s(kept) + short_s(len(part) - kept)
                stretched = 0.6 * len(part)
                for keep, first, past in stretches(part[:, block].tolist()):
                    stretched += (block_s if keep else short_s)(past - first)
                mixed = 0 < kept < len(part)
                seconds += min(gathered + 0.9 * len(part), stretched) if mixed else gathered
        assert costs.gathered_seconds(table, portion) == pytest.approx(seconds)

    def test_stretches_where_moving_is_dear(self):
        table = drawn(16, 8)
        assert all(made_up(8, 0.0, 1.0, take=1.0).in_stretches(table))
        assert not any(made_up(8, 1.0, 0.0).in_stretches(table))

    def test_seconds_between_and_beyond_what_was_measured(self):
        times = {
            n: Times((seconds,), (seconds / 2,), seconds / 4, (1,)) for n, seconds in ((1, 1.0), (4, 2.5))
        }
        costs = CostModel(times, Moving(0.0, 0.0))
        assert [costs.block_seconds(0, n) for n in (0, 1, 2, 4, 8)] == [0, 1, 1.5, 2.5, 5]
        assert costs.shortcut_seconds(0, 4) == 1.25
        assert costs.rest_seconds(4) == 0.625
        assert costs.grouped_seconds(torch.tensor([[True], [False]])) == 1 + 0.5 + 2 * 0.25

    def test_measuring_leaves_no_trace(self):
        model = greenadapt.wrap(awake("cifar_resnet14"), "blockdrop", keep=0.5).train()
        state = copy.deepcopy(model.state_dict())
        seen = []
        model.layer1[0].register_forward_hook(lambda *args: seen.append(args))
        costs = measure_costs(model, torch.randn(5, 3, 32, 32), seconds=0.1)
        assert not seen
        assert model.training
        assert next(iter(costs.measured)) == 1
        assert costs.blocks == 6
        assert all(costs.block_seconds(index, 3) > 0 for index in range(6))
        assert costs.rest_seconds(1) > 0
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, state[name])

    def test_measuring_is_no_work_of_the_images(self):
        model, images = wrapped("cifar_resnet14"), batch(6, 32)
        table, macs = drawn(6, 6), []
        for mode in ("auto", "auto", "grouped"):
            with counting(model) as counter:
                execute(plain(model), images, table, mode, lambda: costs_of(model, images))
            macs.append(counter.macs)
        assert macs[0] == macs[1] == macs[2]

    def test_once_for_each_kind_of_batch_and_never_in_a_copy(self):
        model = wrapped("cifar_resnet14")
        small, large = batch(2, 32), batch(2, 48)
        known = costs_of(model, small)
        assert costs_of(model, small[:1]) is known
        assert costs_of(model, batch(4, 32)) is known
        assert max(costs_of(model, batch(9, 32)).measured) > 2
        known = costs_of(model, small)
        assert costs_of(model, large) is not known
        assert not any("cost" in key for key in model.state_dict())
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert costs_of(other, small) is not known
            assert torch.equal(other(small), model(small))

    @pytest.mark.parametrize("images", [0, 2])
    def test_nothing_to_time(self, images):
        model = wrapped("cifar_resnet14") if images == 0 else awake("cifar_resnet14")
        with pytest.raises(ModelError, match="nothing to time"):
            measure_costs(model, batch(images, 32))

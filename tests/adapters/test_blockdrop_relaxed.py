"""The straight-through objective: its gradients, what it leaves alone, and that it keeps to its budget."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt.adapters.blockdrop.beginning import SURE, begin_with
from greenadapt.adapters.blockdrop.objectives import FixedObjective, RelaxedObjective
from greenadapt.adapters.blockdrop.objectives.from_path import DECAY, PRICE, hold_to
from greenadapt.adapters.blockdrop.objectives.relaxed import Relaxed, norms_of
from greenadapt.errors import OptionError, TrainingError
from greenadapt.testing import awake


def retrofit(**options):
    torch.manual_seed(0)
    model = awake("cifar_resnet14", in_chans=1)
    return greenadapt.wrap(model, "blockdrop", **({"keep": 0.5, "objective": "gumbel"} | options))


def pictures(count=16, seed=0):
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def loader(count=64):
    labels = torch.arange(count) % 10
    return DataLoader(TensorDataset(pictures(count), labels), batch_size=16)


def test_gradient_of_a_gate_is_that_of_a_block_scaled_by_it():
    """The oracle computes every block for all images and scales its branch by a number of its own."""
    model = retrofit().double().eval()
    x = pictures(6).double()
    torch.manual_seed(1)
    table = torch.rand(6, 6) < 0.5
    slack = torch.zeros(6, 6, dtype=torch.double, requires_grad=True)
    logits = model.forward_in(x, Relaxed(table, slack, norms_of(model)))
    torch.testing.assert_close(logits, model.forward_under(x, table))
    logits.pow(2).sum().backward()

    class Scaled:
        kept_by_all = None

        def __init__(self):
            self.gates = table.double().requires_grad_()

        def step(self, index, block, shortcut, x):
            passed = shortcut(x, None)
            return passed + self.gates[:, index].view(-1, 1, 1, 1) * (block(x, None) - passed)

    oracle = Scaled()
    model.forward_in(x, oracle).pow(2).sum().backward()
    assert slack.grad.abs().min() > 0
    torch.testing.assert_close(slack.grad, oracle.gates.grad)


def test_asking_a_dropped_block_moves_no_statistics():
    model = retrofit().train()
    table = torch.ones(8, 6, dtype=torch.bool)
    table[:, 3] = False
    table[:4, 4] = False
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.forward_in(pictures(8), Relaxed(table, torch.zeros(8, 6), norms_of(model)))
    after = model.state_dict()
    assert torch.equal(after["layer2.1.bn1.running_mean"], before["layer2.1.bn1.running_mean"])
    assert after["layer3.0.bn1.num_batches_tracked"] == before["layer3.0.bn1.num_batches_tracked"] + 1
    assert all(module.training for module in model.modules())


def test_a_block_that_runs_moves_the_statistics_of_its_projection_once():
    model = greenadapt.wrap(awake("resnet10t", num_classes=5), "blockdrop", objective="gumbel").train()
    table = torch.ones(4, 4, dtype=torch.bool)
    model.forward_in(torch.randn(4, 3, 64, 64), Relaxed(table, torch.zeros(4, 4), norms_of(model)))
    tracked = {
        name: int(value) for name, value in model.state_dict().items() if name.endswith("num_batches_tracked")
    }
    assert any("downsample" in name for name in tracked)
    assert all(value == 1 for name, value in tracked.items() if not name.startswith("greenadapt_policy"))


def learned_from(z, weights_of_worth, keep=0.5):
    """The gradient that reaches logits z, [B, K], where moving a gate would change the loss by so much."""
    model = retrofit(keep=keep)
    training = RelaxedObjective(model, None, 8)
    logits = z.clone().requires_grad_()
    slack = logits - logits.detach()
    training._straight_through(slack, z, torch.ones_like(z))
    (slack * weights_of_worth).sum().backward()
    return logits.grad


def test_a_logit_moves_by_the_worth_of_its_block_and_back_towards_zero():
    torch.manual_seed(0)
    z = torch.tensor([3.0, -3.0, 1e-3, 20.0, -1e-3, -20.0]).repeat(8, 1)
    worth = torch.randn(8, 6).clamp(-1, 1)
    spread = worth.square().mean().sqrt()
    torch.testing.assert_close(learned_from(z, worth), worth + DECAY * spread * z)


def test_the_price_of_a_block_rises_with_what_is_kept_over_the_budget():
    torch.manual_seed(0)
    worth = torch.randn(8, 6).clamp(-1, 1)
    spread = worth.square().mean().sqrt()
    kept, dropped = torch.full((8, 6), 1e-9), torch.full((8, 6), -1e-9)
    torch.testing.assert_close(learned_from(kept, worth, 0.75), worth + PRICE * 0.25 * spread)
    torch.testing.assert_close(learned_from(dropped, worth, 0.75), worth - PRICE * 0.75 * spread)


def test_one_image_does_not_decide_for_all():
    worth = torch.full((40, 6), 0.1)
    worth[0, 0] = 1e4
    moved = learned_from(torch.tensor([1.0, -1.0]).repeat(40, 3), worth)
    assert moved.abs().max() < 5 * worth.square().mean().sqrt()


def test_all_logits_are_shifted_alike_until_the_budget_holds():
    model = retrofit()
    torch.nn.init.normal_(model.greenadapt_policy.net.fc.weight, 0, 5)
    torch.nn.init.constant_(model.greenadapt_policy.net.fc.bias, 9.0)
    hold_to(model.greenadapt_policy, loader(), 0.3)
    assert model.eval().greenadapt_paths(pictures(64)).float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert len(model.greenadapt_policy.net.fc.bias.unique()) == 1


@pytest.mark.parametrize("keep", [0.4, 0.5, 0.6, 0.9])
def test_decisions_that_are_alike_go_together(keep):
    model = retrofit()
    begin_with(model.greenadapt_policy, [True, False] * 3)
    hold_to(model.greenadapt_policy, loader(), keep)
    assert model.eval().greenadapt_paths(pictures(64)).float().mean().item() == 0.5


def test_a_policy_of_one_block_and_one_image_is_left_as_it_is():
    model = retrofit()
    begin_with(model.greenadapt_policy, [True] * 6)
    hold_to(model.greenadapt_policy, [pictures(1)], 0.5)
    assert (model.greenadapt_policy.net.fc.bias == SURE).all()


def calibrate(model, images):
    """Gives the norms the statistics of these images, as those of a trained network have."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    model.eval()


def test_it_starts_from_the_best_fixed_path():
    model = retrofit()
    blocks = [*model.layer1, *model.layer2, *model.layer3]
    for index in (0, 2, 4):
        torch.nn.init.constant_(blocks[index].bn2.weight, 1e-3)
        torch.nn.init.zeros_(blocks[index].bn2.bias)
    calibrate(model, pictures(64))
    training = RelaxedObjective(model, None, 4)
    training.prepare(loader())
    assert model.greenadapt_paths(pictures()).tolist() == [[False, True, False, True, False, True]] * 16


def test_training_learns_within_the_budget():
    model = retrofit(keep=0.5)
    training = RelaxedObjective(model, None, 8)
    x, labels = pictures(20), torch.arange(20) % 10
    training.loader = DataLoader(TensorDataset(x, labels), batch_size=20)
    begin_with(model.greenadapt_policy, (True,) * 6)
    optimizer = training.optimizer(0.05, 0.0)
    torch.manual_seed(0)
    for step in range(50):
        if step in (0, 36):
            training.begin_epoch(0 if step == 0 else 2)
        loss, figures = training.loss(x, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert training.stage == "settling"
    assert figures["kept"] / 6 == pytest.approx(0.5, abs=0.01)
    assert figures["top1"] > 0.5


def test_stages_of_it_and_of_a_fixed_policy():
    training = RelaxedObjective(retrofit(), None, 8)
    stages = []
    for epoch in range(8):
        training.begin_epoch(epoch)
        stages.append(training.stage)
    assert stages == ["joint"] * 2 + ["settling"] * 6
    assert not any(p.requires_grad for p in training.policy.parameters())
    model = retrofit(policy="sensitivity")
    objective = greenadapt.plugins.adapter("blockdrop").objective(model, None, 3)
    assert isinstance(objective, FixedObjective)
    objective.prepare(loader())
    assert sum(model.greenadapt_kept) == 3


def test_few_paths_are_chosen_when_settling_begins():
    model = retrofit(paths=2)
    training = RelaxedObjective(model, None, 2)
    training.prepare(loader())
    torch.nn.init.normal_(model.greenadapt_policy.net.fc.weight, 0, 50)
    torch.nn.init.zeros_(model.greenadapt_policy.net.fc.bias)
    images = pictures(64)
    assert len(model.eval().greenadapt_paths(images).unique(dim=0)) > 2
    training.begin_epoch(0)
    assert model.greenadapt_allowed.all()
    training.begin_epoch(1)
    assert training.stage == "settling"
    assert len(model.eval().greenadapt_paths(images).unique(dim=0)) <= 2


@pytest.mark.parametrize("objective", ["gumbel", "reinforce"])
def test_a_training_that_would_only_settle_is_refused(objective):
    adapter = greenadapt.plugins.adapter("blockdrop")
    with pytest.raises(OptionError, match="never be trained") as raised:
        adapter.objective(retrofit(objective=objective, paths=2), None, 1)
    assert raised.value.todo == "Train for 2 epochs or more."
    adapter.objective(retrofit(objective=objective), None, 1)


@pytest.mark.parametrize(("objective", "what"), [("gumbel", "a logit"), ("reinforce", "a logit")])
def test_base_that_is_no_number_stops_the_training(objective, what):
    model = retrofit(objective=objective)
    model.fc.bias.data.fill_(float("nan"))
    training = greenadapt.plugins.adapter("blockdrop").objective(model, None, 20)
    training.begin_epoch(5)
    assert training.stage == "joint"
    with pytest.raises(TrainingError, match=f"{what} of a sampled path is no number") as raised:
        training.loss(pictures(), torch.zeros(16, dtype=torch.long))
    assert "160 of 160 values" in raised.value.seen

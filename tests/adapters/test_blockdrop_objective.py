"""The reward, the baseline and the curriculum of BlockDrop's training."""

from __future__ import annotations

import pytest
import torch

import greenadapt
from greenadapt.adapters.blockdrop.objectives import ReinforceObjective
from greenadapt.adapters.blockdrop.objectives.terms import (
    bounded,
    entropy,
    over_budget,
    policy_gradient,
    rewards,
)
from greenadapt.errors import TrainingError
from greenadapt.testing import awake


def test_rewards_of_the_paper():
    table = torch.zeros(3, 15, dtype=torch.bool)
    table[0, :7] = True
    table[1] = True
    found = rewards(table, torch.tensor([True, True, False]), keep=0.0, penalty=5.0)
    torch.testing.assert_close(found, torch.tensor([0.782222, 0.0, -5.0]), atol=1e-6, rtol=0)
    kept = torch.zeros(1, 33, dtype=torch.bool)
    kept[0, :24] = True
    assert rewards(kept, torch.tensor([True]), 0.0, 1.0).item() == pytest.approx(0.471074, abs=1e-6)


def test_dropping_below_the_target_earns_nothing():
    table = torch.tensor([[True, False, False, False], [True, True, False, False]])
    found = rewards(table, torch.tensor([True, True]), keep=0.5, penalty=1.0)
    assert found[0] == found[1] == 0.75


def test_bounded_probabilities():
    found = bounded(torch.tensor([0.9, 0.0, 1.0, 0.5]))
    torch.testing.assert_close(found, torch.tensor([0.74, 0.2, 0.8, 0.5]))


def test_policy_gradient_raises_the_chance_of_what_paid():
    logits = torch.zeros(1, 2, requires_grad=True)
    sampled = torch.tensor([[True, False]])
    loss = policy_gradient(bounded(torch.sigmoid(logits)), sampled, torch.tensor([1.0]), torch.ones(2).bool())
    loss.backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_policy_gradient_is_that_of_the_log_probability():
    torch.manual_seed(0)
    logits = torch.randn(5, 4, dtype=torch.double, requires_grad=True)
    sampled, advantage = torch.rand(5, 4) < 0.5, torch.randn(5, dtype=torch.double)

    def loss(values):
        return policy_gradient(bounded(torch.sigmoid(values)), sampled, advantage, torch.ones(4).bool())

    assert torch.autograd.gradcheck(loss, (logits,))
    chances = bounded(torch.sigmoid(logits))
    by_hand = torch.distributions.Bernoulli(chances).log_prob(sampled.double()).sum(1)
    torch.testing.assert_close(loss(logits), -(advantage * by_hand).mean())


def test_bound_decisions_get_no_gradient():
    logits = torch.zeros(4, 3, requires_grad=True)
    free = torch.tensor([False, False, True])
    chances = bounded(torch.sigmoid(logits))
    loss = policy_gradient(chances, torch.ones(4, 3).bool(), torch.ones(4), free) - entropy(chances, free)
    loss.backward()
    assert logits.grad[:, :2].abs().max() == 0
    assert logits.grad[:, 2].abs().min() > 0


def test_entropy_is_highest_at_a_half():
    free = torch.ones(1).bool()
    at = lambda p: entropy(torch.tensor([[p]]), free).item()  # noqa: E731
    assert at(0.5) == pytest.approx(0.693147, abs=1e-5)
    assert at(0.3) == pytest.approx(at(0.7))
    assert at(0.3) < at(0.5)


def objective(epochs=6):
    model = greenadapt.wrap(awake("cifar_resnet14", in_chans=1), "blockdrop", keep=0.5)
    return model, ReinforceObjective(model, None, epochs)


def test_curriculum_frees_blocks_from_the_last_and_lowers_the_budget():
    _, training = objective(epochs=12)
    stages = []
    for epoch in range(12):
        training.begin_epoch(epoch)
        stages.append((training.stage, training.free, round(training.budget, 3)))
    assert stages[:3] == [("curriculum", 2, 0.833), ("curriculum", 4, 0.667), ("curriculum", 6, 0.5)]
    assert stages[3:9] == [("joint", 6, 0.5)] * 6
    assert stages[9:] == [("settling", 6, 0.5)] * 3


def test_budget_is_what_the_mean_probability_exceeds():
    free = torch.tensor([False, True, True, True])
    at = lambda p, budget: over_budget(torch.full((2, 4), p), free, budget).item()  # noqa: E731
    assert at(0.6, 0.5) == pytest.approx((0.7 - 0.5) ** 2)
    assert at(0.2, 0.5) == 0


def test_curriculum_leaves_the_base_alone_and_joint_training_does_not():
    model, training = objective()
    optimizer = training.optimizer(None, 1e-4)
    torch.manual_seed(0)
    images, labels = torch.randn(16, 1, 28, 28), torch.randint(0, 10, (16,))
    base = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("greenadapt_policy")}
    policy = {k: v.clone() for k, v in model.greenadapt_policy.state_dict().items()}

    def step(epoch):
        training.begin_epoch(epoch)
        loss, figures = training.loss(images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return figures

    step(0)
    assert all(torch.equal(model.state_dict()[k], v) for k, v in base.items())
    assert any(not torch.equal(model.greenadapt_policy.state_dict()[k], v) for k, v in policy.items())
    figures = step(2)
    assert any(not torch.equal(model.state_dict()[k], v) for k, v in base.items())
    assert 0 <= figures["kept"] <= 6
    policy = {k: v.clone() for k, v in model.greenadapt_policy.state_dict().items()}
    step(5)
    assert all(torch.equal(model.greenadapt_policy.state_dict()[k], v) for k, v in policy.items())


def test_policy_that_is_no_number_stops_the_training():
    model, training = objective()
    torch.nn.init.constant_(model.greenadapt_policy.net.fc.bias, float("nan"))
    training.begin_epoch(0)
    with pytest.raises(TrainingError, match="a probability of the policy is no number"):
        training.loss(torch.randn(4, 1, 28, 28), torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize(("seed", "harmful"), [(0, 5), (2, 1), (4, 4)])
def test_reinforce_learns_which_block_does_harm(seed, harmful):
    """One block spoils every answer, and without any other most are wrong: that one goes, the others stay."""
    torch.manual_seed(seed)
    base = awake("cifar_resnet14", in_chans=1)
    model = greenadapt.wrap(base, "blockdrop", keep=5 / 6, seed=seed).eval()
    training = ReinforceObjective(model, None, epochs=4)
    images, useful = torch.randn(112, 1, 16, 16), torch.arange(6) != harmful
    path, blocks = useful.repeat(112, 1), [*model.layer1, *model.layer2, *model.layer3]
    with torch.no_grad():
        # Logits of an untrained network differ more between classes than between images.
        model.fc.bias.sub_(model.forward_under(images, path).mean(0))
        labels = model.forward_under(images, path).argmax(1)
        bias = blocks[harmful].bn2.bias
        bias.copy_(30 * torch.randn(len(bias)))
        spoiled = model.forward_under(images, torch.ones_like(path)).argmax(1) != labels
        images, labels = images[spoiled], labels[spoiled]
    optimizer = training.optimizer(0.15, 0.0)
    training.begin_epoch(0)
    assert (training.stage, training.free) == ("curriculum", 6)  # the base stays as it is
    for _ in range(30):
        loss, _ = training.loss(images, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    kept = model.eval().greenadapt_paths(images).float().mean(0)
    assert kept[harmful] < 0.2
    assert kept[useful].min() > 0.8

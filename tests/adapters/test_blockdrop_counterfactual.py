"""The objective that asks what one other decision would have done: its differences, its budget."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt.adapters.blockdrop.beginning import begin_with
from greenadapt.adapters.blockdrop.objectives import CounterfactualObjective
from greenadapt.adapters.blockdrop.objectives.from_path import pull
from greenadapt.errors import TrainingError
from greenadapt.testing import awake

PATH = (True, True, False, True, False, True)


def retrofit(**options):
    torch.manual_seed(0)
    model = awake("cifar_resnet14", in_chans=1)
    return greenadapt.wrap(model, "blockdrop", **({"keep": 0.5, "objective": "counterfactual"} | options))


def pictures(count=8, seed=0):
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(seed))


def begun(teacher=None, epochs=5):
    model = retrofit()
    begin_with(model.greenadapt_policy, PATH)
    return model, CounterfactualObjective(model, teacher, epochs)


@pytest.mark.parametrize("kind", ["labels", "shares", "teacher"])
def test_the_worth_of_a_block_is_what_the_cost_of_its_image_gains_by_it(kind):
    torch.manual_seed(3)
    network = awake("cifar_resnet14", in_chans=1).eval()
    model, training = begun()
    images, labels = pictures(), torch.arange(8) % 10
    shares = torch.eye(10)[labels] * 0.7 + torch.eye(10)[labels.flip(0)] * 0.3
    greedy = torch.tensor([PATH] * 8)
    chosen = torch.tensor([[0, 2], [1, 4], [5, 3], [2, 0], [4, 1], [3, 5], [0, 1], [2, 4]])
    target = {"labels": labels, "shares": shares, "teacher": network(images).detach().softmax(1)}[kind]
    found = training._worths(images, target, greedy, chosen)

    model.eval()
    wanted = torch.eye(10)[labels] if kind == "labels" else shares
    for i in range(8):
        image = images[i : i + 1]
        target = network(image).softmax(1)[0] if kind == "teacher" else wanted[i]

        def cost(path, image=image, target=target):
            said = model.forward_under(image, torch.tensor([path])).softmax(1)[0]
            return 0.5 * (said - target).abs().sum()

        for j, block in enumerate(chosen[i].tolist()):
            with_it = cost([True if b == block else kept for b, kept in enumerate(PATH)])
            without = cost([False if b == block else kept for b, kept in enumerate(PATH)])
            torch.testing.assert_close(found[i, j], without - with_it, atol=1e-5, rtol=1e-4)
    assert found.abs().min() > 0


def test_the_base_learns_from_the_paths_that_run_and_from_no_other():
    model, training = begun()
    training.begin_epoch(0)
    images, labels = pictures(), torch.arange(8) % 10
    loss, figures = training.loss(images, labels)
    loss.backward()
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    statistics = {name: value.clone() for name, value in model.named_buffers()}
    assert figures["kept"] == sum(PATH)
    assert all(module.training for module in model.modules())
    assert not any(name.startswith(("layer2.0", "layer3.0")) for name in grads if ".downsample" not in name)

    twin, _ = begun()
    twin.train()
    logits = twin.forward_under(images, torch.tensor([PATH] * 8))
    torch.nn.functional.cross_entropy(logits, labels).backward()
    for name, p in twin.named_parameters():
        if p.grad is not None:
            torch.testing.assert_close(grads[name], p.grad)
    for name, value in twin.named_buffers():
        if not name.startswith("greenadapt_policy"):
            torch.testing.assert_close(statistics[name], value)
    assert grads["greenadapt_policy.net.fc.weight"].any()


def test_a_block_of_no_use_is_worth_nothing_and_pays_its_price_first():
    model, training = begun()
    torch.nn.init.zeros_(model.layer2[1].bn2.weight)
    torch.nn.init.zeros_(model.layer2[1].bn2.bias)
    greedy, chosen = torch.tensor([PATH] * 32), torch.tensor([[3, 0]] * 32)
    worth = training._worths(pictures(32), torch.arange(32) % 10, greedy, chosen)
    torch.testing.assert_close(worth[:, 0], torch.zeros(32), atol=1e-6, rtol=0)
    slopes = torch.tensor([0.0, -0.3])
    none, much = pull(slopes, torch.full((2,), 2.0), over=0.002)
    assert none > 0 > much


def test_training_keeps_to_its_budget_and_settles():
    _, training = begun(epochs=5)
    images, labels = pictures(20), torch.arange(20) % 10
    training.loader = DataLoader(TensorDataset(images, labels), batch_size=20)
    optimizer = training.optimizer(0.05, 0.0)
    torch.manual_seed(0)
    stages = []
    for epoch in range(5):
        training.begin_epoch(epoch)
        stages.append(training.stage)
        for _ in range(8):
            loss, figures = training.loss(images, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert stages == ["joint"] * 2 + ["settling"] * 3
    assert figures["kept"] / 6 == pytest.approx(0.5, abs=0.01)
    assert figures["top1"] > 0.5


def test_a_base_that_is_no_number_stops_the_training():
    model, training = begun()
    model.fc.bias.data.fill_(float("nan"))
    training.begin_epoch(0)
    with pytest.raises(TrainingError, match="a cost of a flipped path is no number") as raised:
        training.loss(pictures(), torch.zeros(8, dtype=torch.long))
    assert "16 of 16 values" in raised.value.seen


def test_finetune_takes_the_objective_that_the_options_name():
    training = greenadapt.plugins.adapter("blockdrop").objective(retrofit(), None, 5)
    assert isinstance(training, CounterfactualObjective)
    assert training.name == "blockdrop counterfactual"

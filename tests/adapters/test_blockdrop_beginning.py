"""Where a learned policy begins: as a trained fixed path has ended, and what cannot be begun from."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt.adapters.blockdrop.beginning import begin_from
from greenadapt.adapters.blockdrop.objectives import CounterfactualObjective, FixedObjective
from greenadapt.errors import ModelError, OptionError
from greenadapt.testing import awake

PATH = [True, False, True, True, False, True]


def base(name="cifar_resnet14", seed=0, **arguments):
    torch.manual_seed(seed)
    return awake(name, in_chans=1, **arguments)


def learned(model=None, **options):
    given = {"keep": 0.5, "objective": "counterfactual"} | options
    return greenadapt.wrap(model or base(), "blockdrop", **given)


def fixed(model=None, path=PATH):
    found = greenadapt.wrap(model or base(seed=1), "blockdrop", policy="sensitivity", keep=0.6)
    found.set_path(path)
    return found.eval()


def pictures(count=16):
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_policy_begins_as_the_fixed_path_has_ended():
    ended, model = fixed(), learned().eval()
    before = {name: value.clone() for name, value in ended.state_dict().items()}
    begin_from(model, ended)
    images = pictures()
    assert model.greenadapt_paths(images).tolist() == [PATH] * 16
    torch.testing.assert_close(model(images), ended(images))
    for name, value in ended.state_dict().items():
        assert torch.equal(value, before[name])
    model.conv1.weight.data.zero_()
    assert ended.conv1.weight.any()


def test_the_recipe_tells_what_the_weights_went_through():
    data = DataLoader(TensorDataset(pictures(), torch.arange(16) % 10), batch_size=8)
    ended, model = fixed(), learned()
    greenadapt.finetune(ended, data, epochs=1, meter=None, device="cpu")
    begin_from(model, ended)
    assert model.greenadapt_recipe.training == ended.greenadapt_recipe.training
    assert model.greenadapt_recipe.base.weights == ended.greenadapt_recipe.base.weights
    assert model.greenadapt_recipe.options["policy"] == "learned"
    greenadapt.finetune(model, data, epochs=2, meter=None, device="cpu")
    assert len(model.greenadapt_recipe.training) == 2


def test_paths_that_were_limited_before_are_chosen_anew():
    model, ended = learned(paths=2).eval(), fixed()
    model.greenadapt_allowed.copy_(torch.tensor([[False, True] * 3, [True] * 6]))
    begin_from(model, ended)
    torch.testing.assert_close(model(pictures()), ended(pictures()))


def test_a_training_goes_on_from_there_and_finds_no_path_of_its_own():
    model = learned()
    begin_from(model, fixed())
    loader = DataLoader(TensorDataset(pictures(), torch.arange(16) % 10), batch_size=8)
    CounterfactualObjective(model, None, 4).prepare(loader)
    assert model.greenadapt_paths(pictures()).tolist() == [PATH] * 16
    fresh = learned()
    CounterfactualObjective(fresh, None, 4).prepare(loader)
    assert fresh.greenadapt_paths(pictures()).sum() == 3 * 16


def test_a_path_that_was_found_is_kept_when_its_training_goes_on():
    model = fixed()
    loader = DataLoader(TensorDataset(pictures(), torch.arange(16) % 10), batch_size=8)
    FixedObjective(model).prepare(loader)
    assert model.greenadapt_kept == tuple(PATH)
    model.set_path([True] * 6)
    FixedObjective(model).prepare(loader)
    assert sum(model.greenadapt_kept) == round(0.6 * 6)


@pytest.mark.parametrize(
    ("make", "ended", "error", "told"),
    [
        (learned, base, ModelError, "no fixed path to begin from"),
        (learned, learned, ModelError, "no fixed path to begin from"),
        (base, fixed, ModelError, "no policy that could begin"),
        (fixed, fixed, ModelError, "no policy that could begin"),
        (lambda: learned(objective="reinforce"), fixed, OptionError, "begins with every block kept"),
        (lambda: learned(base("cifar_resnet20")), fixed, ModelError, "their bases differ"),
        (learned, lambda: fixed(base(shortcut="subsample")), ModelError, "layer2.0.downsample is Subsample"),
        (learned, lambda: fixed(base(num_classes=7)), ModelError, "out_features=7"),
        (learned, lambda: fixed(path=[True] * 6), ModelError, "keeps every block"),
    ],
)
def test_what_cannot_be_begun_from_is_refused_and_changes_nothing(make, ended, error, told):
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(error, match=told):
        begin_from(model, ended())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])

"""A teacher's share of the loss, and norms that stay as they are: for few images, or none with a label."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import greenadapt
from greenadapt.adapters.distillation import taught_loss
from greenadapt.data import ImageArrays
from greenadapt.errors import OptionError, TrainingError
from greenadapt.interfaces import Teacher
from greenadapt.testing import awake

SETTINGS = {"epochs": 2, "batch_size": 12, "learning_rate": 0.01, "meter": None}


def data(first_class=0, count=24):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)
    labels = (torch.arange(count) + first_class) % 10
    return ImageArrays(pixels, labels, name="noise", split="train", classes=10)


def network(name="cifar_resnet14", seed=0):
    torch.manual_seed(seed)
    return awake(name, in_chans=1)


def trained(adapter, options, images, **settings):
    base = network()
    model = base if adapter is None else greenadapt.wrap(base, adapter, **options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = network("cifar_resnet8", seed=1)
    greenadapt.finetune(model, images, teacher=teacher, **SETTINGS, **settings)
    return before, model.state_dict()


def same(one, other):
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_loss_is_shared_out_as_in_the_formula():
    torch.manual_seed(0)
    images, logits, labels = torch.randn(6, 4), torch.randn(6, 3), torch.arange(6) % 3
    teaching = torch.nn.Linear(4, 3).requires_grad_(requires_grad=False)
    hard = F.cross_entropy(logits, labels)
    ours, theirs = (F.softmax(each / 2.0, 1) for each in (logits, teaching(images)))
    soft = 4 * (theirs * (theirs.log() - ours.log())).sum(1).mean()
    for share in (0.25, 1.0):
        found = taught_loss(images, logits, labels, Teacher(teaching, share, temperature=2.0))
        torch.testing.assert_close(found, (1 - share) * hard + share * soft)
    torch.testing.assert_close(taught_loss(images, logits, labels, None), hard)


@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        (None, {}),
        ("blockdrop", {"keep": 0.5, "policy": "spread"}),
        ("blockdrop", {"keep": 0.5, "objective": "gumbel"}),
        ("biglittle", {"alpha": 2, "beta": 2}),
    ],
)
def test_a_teacher_that_has_the_whole_loss_needs_no_labels(adapter, options):
    before, right = trained(adapter, options, data(), teacher_share=1.0)
    _, wrong = trained(adapter, options, data(first_class=3), teacher_share=1.0)
    assert same(right, wrong)
    assert not same(before, right)
    _, half = trained(adapter, options, data())
    assert not same(half, right)


@pytest.mark.parametrize(
    "options",
    [{"policy": "spread"}, *({"objective": name} for name in ("reinforce", "gumbel", "counterfactual"))],
)
def test_norms_that_are_frozen_keep_their_statistics_and_learn_their_scale(options):
    before, after = trained("blockdrop", {"keep": 0.5, **options}, data(), freeze_norms=True)
    statistics = [name for name in before if "running" in name or "batches" in name]
    policys = [name for name in statistics if name.startswith("greenadapt_policy.")]
    assert all(torch.equal(before[name], after[name]) for name in statistics if name not in policys)
    assert not torch.equal(before["bn1.weight"], after["bn1.weight"])
    # A policy of random weights has no statistics to keep.
    assert not any(torch.equal(before[name], after[name]) for name in policys)
    _, free = trained("blockdrop", {"keep": 0.5, **options}, data())
    assert not torch.equal(before["bn1.running_mean"], free["bn1.running_mean"])


def test_the_recipe_says_how_it_was_taught_and_other_settings_do_not_resume(tmp_path):
    model, teacher = network(), network("cifar_resnet8", seed=1)
    done = greenadapt.finetune(
        model,
        data(),
        teacher=teacher,
        teacher_share=0.9,
        freeze_norms=True,
        checkpoint=tmp_path / "c",
        **SETTINGS,
    )
    assert (done.teacher_share, done.freeze_norms) == (0.9, True)
    with pytest.raises(TrainingError, match="checkpoint"):
        greenadapt.finetune(
            network(), data(), teacher=teacher, checkpoint=tmp_path / "c", resume=True, **SETTINGS
        )
    assert greenadapt.finetune(network(), data(), **SETTINGS).teacher_share is None


@pytest.mark.parametrize("share", [0.0, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(OptionError, match="teacher_share is out of range"):
        greenadapt.finetune(network(), data(), teacher_share=share, meter=None)


def test_a_share_for_nobody_is_refused():
    with pytest.raises(OptionError, match="no teacher"):
        greenadapt.finetune(network(), data(), teacher_share=1.0, meter=None)

"""Mixtures of images: what they are, that they repeat, and that every objective learns from them."""

from __future__ import annotations

import pytest
import torch

import greenadapt
from greenadapt.data import ImageArrays
from greenadapt.errors import OptionError
from greenadapt.finetuning.mixing import mixed
from greenadapt.testing import awake


def batch(count=8):
    images = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    return images.contiguous(memory_format=torch.channels_last), torch.arange(count) % 3


def data(count=24):
    pixels = torch.randint(0, 256, (count, 1, 16, 16), dtype=torch.uint8)
    return ImageArrays(pixels, torch.arange(count) % 10, name="noise", split="train", classes=10)


def test_images_and_labels_are_mixed_in_the_same_shares():
    images, labels = batch()
    mixtures, shares = mixed(images, labels, 3, 1.0, (0, 0, 0))
    share = shares.max(1).values[shares.max(1).values < 1][0]
    assert 0.5 <= share < 1
    torch.testing.assert_close(shares.sum(1), torch.ones(8))
    # Each mixture is its own image and one other, in those shares.
    rest = (mixtures - share * images) / (1 - share)
    distances = (rest.flatten(1)[:, None] - images.flatten(1)[None]).abs().amax(2)
    others = distances.argmin(1)
    assert distances.amin(1).max() < 1e-4
    assert sorted(others.tolist()) == list(range(8))
    expected = share * torch.eye(3)[labels] + (1 - share) * torch.eye(3)[labels[others]]
    torch.testing.assert_close(shares, expected)
    assert mixtures.is_contiguous(memory_format=torch.channels_last)


def test_draws_are_those_of_seed_epoch_and_step_and_of_nothing_else():
    images, labels = batch()
    first, _ = mixed(images, labels, 3, 1.0, (1, 2, 3))
    torch.manual_seed(99)
    again, _ = mixed(images, labels, 3, 1.0, (1, 2, 3))
    assert torch.equal(first, again)
    for draw in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        assert not torch.equal(first, mixed(images, labels, 3, 1.0, draw)[0])


@pytest.mark.parametrize(
    ("adapter", "options"),
    [
        (None, {}),
        ("blockdrop", {"keep": 0.5, "policy": "spread"}),
        ("blockdrop", {"keep": 0.5, "objective": "gumbel"}),
        ("blockdrop", {"keep": 0.5, "objective": "reinforce"}),
        ("biglittle", {"alpha": 2, "beta": 2}),
    ],
)
def test_every_objective_learns_from_mixtures_and_the_recipe_says_so(adapter, options):
    torch.manual_seed(0)
    base = awake("cifar_resnet14", in_chans=1)
    model = base if adapter is None else greenadapt.wrap(base, adapter, **options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    teacher = awake("cifar_resnet8", in_chans=1) if adapter else None
    done = greenadapt.finetune(
        model, data(), teacher=teacher, epochs=4, batch_size=12, mixup=1.0, learning_rate=0.01, meter=None
    )
    assert done.mixup == 1.0
    assert greenadapt.recipe_of(model).training[-1].mixup == 1.0
    assert any(not torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_resumed_training_sees_the_same_mixtures(tmp_path):
    settings = {"epochs": 3, "batch_size": 12, "mixup": 0.4, "learning_rate": 0.01, "meter": None}

    def stop(message, fraction):
        # The message of the third epoch's first step: those before it are in the checkpoint.
        if message.startswith("epoch 3/"):
            raise KeyboardInterrupt

    images, models = data(), []
    for _ in range(3):
        torch.manual_seed(0)
        models.append(awake("cifar_resnet8", in_chans=1))
    whole, stopped, resumed = models
    greenadapt.finetune(whole, images, **settings)
    with pytest.raises(KeyboardInterrupt):
        greenadapt.finetune(stopped, images, checkpoint=tmp_path / "c", progress=stop, **settings)
    torch.manual_seed(123)
    greenadapt.finetune(resumed, images, checkpoint=tmp_path / "c", resume=True, **settings)
    state = resumed.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())


def test_an_alpha_that_is_none_is_refused_before_anything_is_trained():
    with pytest.raises(OptionError, match="mixup is out of range"):
        greenadapt.finetune(awake("cifar_resnet8", in_chans=1), data(), mixup=-1.0, meter=None)
    with pytest.raises(OptionError, match="mixup is out of range"):
        greenadapt.finetune(awake("cifar_resnet8", in_chans=1), data(), mixup=float("nan"), meter=None)

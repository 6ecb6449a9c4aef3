"""What a profile says of the weights, and of the images that a network was trained on."""

from __future__ import annotations

import pytest
import torch

import greenadapt
from greenadapt import audit
from greenadapt.auditing.subjects import remark_on
from greenadapt.models import open_model, recipe_of
from tests.small import SHORT


@pytest.fixture(scope="module")
def base():
    return open_model("embedded:resnet8")


def test_a_fresh_retrofit_of_a_trained_base_says_that_it_was_not_fine_tuned(base):
    fresh = greenadapt.wrap(base, "blockdrop", keep=0.6)
    profile = audit(fresh, plan=SHORT)
    assert profile.subject.weights == "trained"
    assert any("not fine-tuned since it was wrapped" in reason for reason in profile.validity.reasons)
    # It keeps every block of every image, which says nothing of what its policy will be worth.
    assert not any("along one path" in reason for reason in profile.validity.reasons)


def test_what_was_fine_tuned_or_never_wrapped_says_nothing(base):
    assert remark_on(recipe_of(base)) is None
    for name in ("blockdrop", "biglittle"):
        assert remark_on(recipe_of(open_model(f"embedded:{name}"))) is None


def test_a_policy_that_decides_alike_for_all_images_is_said_to_buy_nothing():
    thin, images = open_model("embedded:blockdrop"), greenadapt.open_data("fashion-mnist-2000", limit=32)
    told = audit(thin, data=images, plan=SHORT)
    assert told.execution.paths > 1
    assert not any("along one path" in reason for reason in told.validity.reasons)
    with torch.no_grad():
        thin.greenadapt_policy.net.get_classifier().weight.zero_()
    told = audit(thin, data=images, plan=SHORT)
    assert any("all 32 images along one path" in reason for reason in told.validity.reasons)


def test_a_training_records_its_images_and_its_adapter(base):
    images = greenadapt.open_data("fashion-mnist-2000", limit=64)
    thin = greenadapt.wrap(base, "blockdrop", keep=0.6)
    training = greenadapt.finetune(thin, images, epochs=1, batch_size=32)
    assert (training.adapter, training.input_shape) == ("blockdrop", (1, 28, 28))
    assert remark_on(recipe_of(thin)) is None


@pytest.mark.parametrize("name", ["resnet8", "blockdrop", "biglittle"])
def test_random_images_have_the_size_of_the_last_training(name):
    plan = SHORT.model_copy(update={"trials": 2, "trial_seconds": 0.01, "warmup_seconds": 0.01})
    assert audit(open_model(f"embedded:{name}"), plan=plan).conditions.input_shape == (1, 28, 28)

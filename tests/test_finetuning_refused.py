"""What a training refuses before it begins, what it says when it cannot go on, and what it resumes on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt.errors import DataError, ModelError, OptionError, TrainingError
from greenadapt.finetuning import finetune
from tests import small

ALONE = {"meter": None, "device": "cpu"}


def tiny(pixels=2):
    """Five images for a ResNet-8, whose last stage sees one pixel of them."""
    return TensorDataset(torch.randn(5, 1, pixels, pixels), torch.zeros(5, dtype=torch.long))


@pytest.mark.parametrize(
    ("size", "alone"), [(4, "5 images in batches of 4 leave one alone"), (1, "in batches of 1 leave one")]
)
def test_one_image_that_batch_norm_cannot_take_is_told_before_the_first_step(size, alone):
    model = small.network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(DataError, match=alone):
        finetune(model, DataLoader(tiny(), size), epochs=1, **ALONE)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_one_image_alone_that_norms_can_take_is_trained_on():
    for data, settings in ((tiny(16), {}), (tiny(), {"freeze_norms": True})):
        assert finetune(small.network(), DataLoader(data, 4), epochs=1, **ALONE, **settings).images == 5


def test_one_image_that_comes_unannounced_is_told_when_it_comes():
    model = small.network()
    batches = [(torch.randn(n, 1, 2, 2), torch.zeros(n, dtype=torch.long)) for n in (4, 1)]
    with pytest.raises(DataError, match="Batch 2 of epoch 1 has one"):
        finetune(model, DataLoader(batches, None), epochs=1, **ALONE)
    assert not model.training


def test_a_label_of_no_class_in_a_later_batch_of_the_validation_is_refused():
    labels = torch.arange(8)
    labels[7] = 10
    val = DataLoader(TensorDataset(torch.randn(8, 1, 16, 16), labels), 4)
    with pytest.raises(DataError, match="validation data do not fit"):
        finetune(small.network(), small.images(), val=val, epochs=1, **ALONE)


@pytest.mark.parametrize("objective", [None, "reinforce", "gumbel"])
def test_images_that_are_no_numbers_are_told_as_such_and_where(objective):
    model = small.network()
    if objective:
        model = greenadapt.wrap(model, "blockdrop", objective=objective)
    images = torch.randn(12, 1, 16, 16)
    images[10] = float("nan")
    data = DataLoader(TensorDataset(images, torch.zeros(12, dtype=torch.long)), 4)
    with pytest.raises(DataError, match="batch 3 of epoch 1 hold values that are no numbers"):
        finetune(model, data, epochs=2, **ALONE)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", 1.5),
        ("seed", "a"),
        ("seed", None),
        ("seed", 2**70),
        ("epochs", True),
        ("learning_rate", "x"),
        ("learning_rate", float("inf")),
        ("weight_decay", "x"),
        ("mixup", None),
    ],
)
def test_a_setting_that_is_no_number_is_refused_before_anything_is_done(setting, value):
    with pytest.raises(OptionError, match=f"{setting} is out of range"):
        finetune(small.network(), small.images(), **ALONE, **{setting: value})


def test_numbers_of_numpy_are_numbers(tmp_path):
    settings = {"seed": np.int64(3), "learning_rate": np.float32(0.01), "batch_size": np.int64(8)}
    training = finetune(
        small.network(), small.images(), epochs=1, checkpoint=tmp_path / "c", **ALONE, **settings
    )
    assert type(training.seed) is int
    assert training.learning_rate == pytest.approx(0.01)
    model = greenadapt.wrap(small.network(), "blockdrop", keep=np.float32(0.5), seed=np.int64(3))
    assert type(model.greenadapt_config.keep) is float


@pytest.mark.parametrize("device", ["cuda:7", "meta", "cpuu"])
def test_a_device_that_cannot_train_is_refused_whatever_the_meter(device):
    with pytest.raises(OptionError, match="device"):
        finetune(small.network(), small.images(), epochs=1, meter=None, device=device)


def test_a_training_resumes_on_the_model_that_was_interrupted_and_on_a_fresh_one(tmp_path):
    def stop(message, _):
        if message.startswith("epoch 2/3"):
            raise KeyboardInterrupt

    base = small.network()
    interrupted, fresh = (greenadapt.wrap(base, "blockdrop") for _ in range(2))
    settings = {"epochs": 3, "checkpoint": tmp_path / "c", **ALONE}
    with pytest.raises(KeyboardInterrupt):
        finetune(interrupted, small.images(), progress=stop, **settings)
    after_one = (tmp_path / "c").read_bytes()
    for model in (interrupted, fresh):
        (tmp_path / "c").write_bytes(after_one)
        finetune(model, small.images(), resume=True, **settings)
    ended = fresh.state_dict()
    assert all(torch.equal(value, ended[name]) for name, value in interrupted.state_dict().items())


def test_another_network_does_not_resume(tmp_path):
    settings = {"epochs": 1, "checkpoint": tmp_path / "c", **ALONE}
    finetune(small.network(), small.images(), **settings)
    with pytest.raises(TrainingError, match=r"network .*cifar_resnet8.* => .*cifar_resnet14"):
        finetune(small.network("cifar_resnet14"), small.images(), resume=True, **settings)


class Line(nn.Module):
    """A network that nobody knows."""

    def __init__(self, classes):
        super().__init__()
        self.line = nn.Linear(28 * 28, classes)

    def forward(self, x):
        return self.line(x.flatten(1))


def test_any_module_that_gives_logits_may_teach():
    training = finetune(small.network(), small.images(), teacher=Line(10), epochs=1, **ALONE)
    assert training.teacher == "Line"
    with pytest.raises(ModelError, match="has 3 classes; the model has 10"):
        finetune(small.network(), small.images(), teacher=Line(3), epochs=1, **ALONE)
    with pytest.raises(ModelError, match=r"Shown images of .* it fails"):
        finetune(small.network(), DataLoader(tiny(16), 5), teacher=Line(10), epochs=1, **ALONE)

"""The training loop: it learns, it resumes to the same weights, and it stops rather than saving nonsense."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import greenadapt
from greenadapt.data import ImageArrays
from greenadapt.errors import DataError, ModelError, OptionError, TrainingError
from greenadapt.finetuning import evaluate, finetune
from greenadapt.models import recipe_of


def stripes(images=160, seed=0, **view):
    """Two classes that a small network tells apart: vertical and horizontal stripes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % 2
    pixels = torch.randint(0, 60, (images, 1, 16, 16), generator=generator, dtype=torch.uint8)
    pixels[labels == 0, :, ::2, :] += 150
    pixels[labels == 1, :, :, ::2] += 150
    return ImageArrays(pixels, labels, name="stripes", split="train")


def network(adapter=None, **options):
    torch.manual_seed(0)
    model = greenadapt.open_model("cifar_resnet14", pretrained=False, in_chans=1, num_classes=2)
    return greenadapt.wrap(model, adapter, **options) if adapter else model


def train(model, data=None, **changes):
    settings = {"epochs": 4, "batch_size": 8, "meter": None, "device": "cpu"}
    return finetune(model, data or stripes(), **(settings | changes))


@pytest.mark.parametrize("adapter", [None, "blockdrop", "biglittle"])
def test_training_learns_and_is_recorded(adapter):
    teacher = network() if adapter else None
    if teacher is not None:
        train(teacher)
        teacher.train()
    model = greenadapt.wrap(teacher, adapter) if adapter else network()
    training = train(model, val=stripes(seed=1), teacher=teacher)
    assert training.val_top1 == evaluate(model, stripes(seed=1).loader(16)) > 0.9
    recipe = recipe_of(model)
    assert recipe.training[-1] == training
    assert recipe.base.weights == "trained"
    assert [set(entry) >= {"loss", "top1", "val_top1"} for entry in training.curve] == [True] * 4
    assert training.dataset == "stripes"
    assert all(parameter.requires_grad for parameter in model.parameters())
    if teacher is not None:
        assert teacher.training
        assert all(parameter.requires_grad for parameter in teacher.parameters())
    assert not model.training
    if adapter == "blockdrop":
        assert all(0 <= entry["kept"] <= 6 for entry in training.curve)


@pytest.mark.parametrize(
    "options", [{}, {"objective": "gumbel", "paths": 2}, {"policy": "sensitivity"}], ids=str
)
def test_interrupted_training_ends_as_it_would_have_ended(tmp_path, options):
    whole = network("blockdrop", keep=0.5, **options)
    train(whole)
    broken = network("blockdrop", keep=0.5, **options)
    checkpoint = tmp_path / "run.checkpoint"

    def interrupt(message, fraction):
        if message.startswith("epoch 3/4") and not message.endswith("…"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(broken, checkpoint=checkpoint, progress=interrupt)
    resumed = network("blockdrop", keep=0.5, **options)
    torch.manual_seed(99)
    training = train(resumed, checkpoint=checkpoint, resume=True)
    assert len(training.curve) == 4
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], value, msg=name)


def test_checkpoint_of_other_settings_is_refused(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    train(network(), epochs=2, checkpoint=checkpoint)
    with pytest.raises(TrainingError, match="seed 0 => 5"):
        train(network(), epochs=2, seed=5, checkpoint=checkpoint, resume=True)
    other = ImageArrays(stripes().pixels, 1 - stripes().labels, name="stripes", split="train")
    with pytest.raises(TrainingError, match="data "):
        train(network(), data=other, epochs=2, checkpoint=checkpoint, resume=True)
    with pytest.raises(TrainingError, match="no training to resume"):
        train(network(), checkpoint=tmp_path / "other", resume=True)
    checkpoint.write_bytes(checkpoint.read_bytes()[:500])
    with pytest.raises(TrainingError, match="cannot be read"):
        train(network(), epochs=2, checkpoint=checkpoint, resume=True)


def test_loss_that_is_no_number_keeps_the_last_checkpoint(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    model = network()

    def poison(message, fraction):
        if message.startswith("epoch 2/4") and not message.endswith("…"):
            model.fc.bias.data.fill_(float("nan"))

    with pytest.raises(TrainingError, match="no number") as raised:
        train(model, checkpoint=checkpoint, progress=poison)
    assert "The model is back after epoch 1" in raised.value.todo
    state = torch.load(checkpoint, weights_only=True)
    assert state["next_epoch"] == 1
    for name, value in model.state_dict().items():
        assert torch.equal(value, state["model"][name]), name


def test_policy_that_breaks_within_an_epoch_keeps_the_last_checkpoint(tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    model = network("blockdrop", keep=0.5)

    def poison(message, fraction):
        if message.startswith("epoch 2/4") and message.endswith("…"):
            model.greenadapt_policy.net.fc.bias.data.fill_(float("nan"))

    with pytest.raises(TrainingError) as raised:
        train(model, checkpoint=checkpoint, progress=poison)
    assert "no number" in raised.value.happened
    assert torch.load(checkpoint, weights_only=True)["next_epoch"] == 1
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_label_of_no_class_in_a_later_batch_keeps_the_last_checkpoint(tmp_path):
    """Cross entropy would pass over -100 in silence, and mixing ends in words of torch's own."""
    checkpoint = tmp_path / "run.checkpoint"
    model, images = network(), torch.rand(8, 1, 16, 16)
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])

    def spoil(message, fraction):
        if message.startswith("epoch 1/2") and not message.endswith("…"):
            labels[5] = -100

    with pytest.raises(DataError, match="Labels go from -100 to 1") as raised:
        finetune(
            model,
            loader(images, labels),
            epochs=2,
            meter=None,
            device="cpu",
            checkpoint=checkpoint,
            progress=spoil,
        )
    assert "The model is back after epoch 1" in raised.value.todo
    for name, value in torch.load(checkpoint, weights_only=True)["model"].items():
        assert torch.equal(value, model.state_dict()[name]), name


def test_without_a_checkpoint_the_error_says_how_the_model_is_left():
    def poison(message, fraction):
        model.fc.bias.data.fill_(float("nan"))

    model = network()
    with pytest.raises(TrainingError, match="as the last steps left it"):
        train(model, progress=poison)


def test_data_that_do_not_fit():
    model = greenadapt.open_model("cifar_resnet8", pretrained=False, in_chans=3, num_classes=2)
    with pytest.raises(DataError, match="channels"):
        train(model)
    model = greenadapt.open_model("cifar_resnet8", pretrained=False, in_chans=1, num_classes=1)
    with pytest.raises(DataError, match="Labels go up to 1"):
        train(model)


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 0},
        {"epochs": 1.5},
        {"precision": "int8"},
        {"batch_size": 0},
        {"learning_rate": -1.0},
        {"weight_decay": -1.0},
        {"weight_decay": float("nan")},
    ],
)
def test_settings_out_of_range(settings):
    with pytest.raises(OptionError):
        train(network(), **settings)


def loader(images, labels):
    return DataLoader(TensorDataset(images, labels), batch_size=4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (loader(torch.zeros(0, 1, 16, 16), torch.zeros(0)), "give no batch"),
        (loader(torch.zeros(4, 3, 16, 16), torch.zeros(4)), "takes 1 channel"),
        (loader(torch.zeros(4, 1, 16, 16), torch.full((4,), 5)), "Labels go from 5 to 5"),
        (loader(torch.full((4, 1, 16, 16), float("nan")), torch.zeros(4)), "no numbers"),
        ([1, 2], "no pair"),
    ],
    ids=["empty", "channels", "labels", "nan", "no pairs"],
)
def test_batches_that_do_not_fit(data, reason):
    model = network()
    with pytest.raises(DataError, match=reason):
        finetune(model, data, epochs=1, meter=None, device="cpu")
    with pytest.raises(DataError, match=reason):
        finetune(model, stripes(), val=data, epochs=1, meter=None, device="cpu")
    assert recipe_of(model).base.weights == "random"


def test_teacher_that_does_not_fit():
    teacher = greenadapt.open_model("cifar_resnet8", pretrained=False, in_chans=1, num_classes=7)
    with pytest.raises(ModelError, match="has 7 classes"):
        train(network(), teacher=teacher)


def test_one_process_trains_in_one_precision_after_another():
    for precision in ("fp32", "bf16"):
        assert train(network(), epochs=1, precision=precision).precision == precision

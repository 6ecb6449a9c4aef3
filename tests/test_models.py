"""Open, wrap, save and load: what travels with a model, and what a wrong request is told."""

from __future__ import annotations

import pytest
import timm
import torch

import greenadapt
from greenadapt import storage
from greenadapt.errors import GreenadaptError, ModelError, OptionError, RecipeError, StorageError
from greenadapt.testing import awake


def test_recipe_of_a_plain_timm_model_builds_it_again(tmp_path):
    model = timm.create_model("test_resnet", num_classes=5, in_chans=1)
    recipe = greenadapt.recipe_of(model)
    assert recipe.base.name.startswith("test_resnet")
    assert recipe.base.model_args == {"num_classes": 5, "in_chans": 1}
    assert recipe.base.weights == "random"
    loaded = greenadapt.load(greenadapt.save(model, tmp_path / "plain"))
    images = torch.randn(2, 1, 64, 64)
    torch.testing.assert_close(loaded(images), model.eval()(images), rtol=0, atol=0)


def test_trained_norms_are_told_from_fresh_ones():
    model = timm.create_model("test_resnet")
    model.train()(torch.randn(4, 3, 64, 64))
    assert greenadapt.recipe_of(model).base.weights == "trained"


def test_options_that_the_weights_do_not_tell_survive(tmp_path):
    model = awake("cifar_resnet14", shortcut="subsample")
    retrofit = greenadapt.wrap(model, "blockdrop", keep=0.5, policy="spread")
    loaded = greenadapt.load(greenadapt.save(retrofit, tmp_path / "saved"))
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded(images), retrofit(images), rtol=0, atol=0)
    assert greenadapt.recipe_of(loaded).options == greenadapt.recipe_of(retrofit).options


def test_recipe_that_would_not_build_the_model_is_refused_at_save(tmp_path):
    model = timm.create_model("resnet18", num_classes=3, stem_type="deep")
    with pytest.raises(ModelError, match="does not build this model again") as raised:
        greenadapt.save(model, tmp_path / "odd")
    assert "conv1" in raised.value.seen
    assert not (tmp_path / "odd").exists()
    retrofit = greenadapt.wrap(
        model, "blockdrop", keep=1.0, model_args={"num_classes": 3, "stem_type": "deep"}
    )
    greenadapt.save(retrofit, tmp_path / "odd")


def test_config_object_is_as_good_as_a_name_and_what_auto_became_is_recorded():
    from greenadapt.adapters.biglittle.config import BigLittleConfig

    model = awake("cifar_resnet14")
    assert greenadapt.recipe_of(greenadapt.wrap(model, BigLittleConfig(alpha=4))).options == {
        "alpha": 4,
        "beta": 4,
        "depth": "native",
        "init": "l1",
    }


def test_config_object_beside_options_is_refused():
    from greenadapt.adapters.blockdrop.config import BlockDropConfig

    with pytest.raises(OptionError, match="beside a config object"):
        greenadapt.wrap(awake("cifar_resnet8"), BlockDropConfig(), keep=0.3)


def test_classes_changed_after_wrapping_are_saved(tmp_path):
    retrofit = greenadapt.wrap(awake("cifar_resnet14"), "biglittle")
    retrofit.reset_classifier(7)
    loaded = greenadapt.load(greenadapt.save(retrofit, tmp_path / "saved"))
    assert loaded(torch.randn(2, 3, 32, 32)).shape == (2, 7)


def test_saving_through_a_link_fills_what_it_points_to(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    greenadapt.save(awake("cifar_resnet8"), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert storage.is_model_folder(tmp_path / "disk")


def test_saved_model_is_opened_as_it_was_saved(tmp_path):
    folder = greenadapt.save(awake("cifar_resnet8"), tmp_path / "saved")
    for options in ({"pretrained": False}, {"num_classes": 3}):
        with pytest.raises(OptionError, match="opened as it was saved"):
            greenadapt.open_model(folder, **options)


def test_architecture_of_a_retrofit_is_not_the_base(tmp_path):
    retrofit = greenadapt.wrap(awake("resnet18"), "blockdrop", keep=0.5, policy="spread")
    assert not timm.is_model(retrofit.pretrained_cfg["architecture"])
    assert "pip install greenadapt" in retrofit.pretrained_cfg["architecture"]


@pytest.mark.parametrize(
    ("request_", "kind", "hint"),
    [
        (lambda: greenadapt.open_model("resnt50"), ModelError, "resnet50"),
        (lambda: greenadapt.open_model("nowhere:resnet50"), GreenadaptError, "timm"),
        (lambda: greenadapt.wrap(awake("cifar_resnet8"), "blokdrop"), GreenadaptError, "blockdrop"),
        (lambda: greenadapt.wrap(awake("cifar_resnet8"), "blockdrop", kep=0.5), OptionError, "keep"),
        (lambda: greenadapt.wrap(torch.nn.Linear(2, 2), "blockdrop"), ModelError, "open_model"),
        (lambda: greenadapt.load("no/such/folder"), StorageError, "greenadapt.json"),
    ],
    ids=["model", "source", "adapter", "option", "unknown network", "folder"],
)
def test_wrong_requests_say_what_to_do(request_, kind, hint):
    with pytest.raises(kind) as raised:
        request_()
    assert hint in str(raised.value)


class TestStorage:
    def saved(self, tmp_path):
        return greenadapt.save(awake("cifar_resnet8"), tmp_path / "model")

    def test_foreign_folder_is_left_alone(self, tmp_path):
        (tmp_path / "mine.txt").write_text("dear diary")
        with pytest.raises(StorageError, match="Something else is there"):
            greenadapt.save(awake("cifar_resnet8"), tmp_path, overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]

    def test_saved_model_is_replaced_only_when_asked(self, tmp_path):
        folder = self.saved(tmp_path)
        other = awake("cifar_resnet8", seed=1)
        with pytest.raises(StorageError, match="overwrite"):
            greenadapt.save(other, folder)
        greenadapt.save(other, folder, overwrite=True)
        images = torch.randn(1, 3, 32, 32)
        torch.testing.assert_close(greenadapt.load(folder)(images), other(images))
        assert [p.name for p in tmp_path.iterdir()] == ["model"]

    def test_asking_for_a_place_leaves_nothing_there(self, tmp_path):
        storage.check_writable(tmp_path / "out" / "model")
        assert not any(tmp_path.iterdir())
        (tmp_path / "file").write_text("dear diary")
        with pytest.raises(StorageError, match="file is no folder"):
            storage.check_writable(tmp_path / "file" / "model")
        greenadapt.save(awake("cifar_resnet8"), tmp_path / "out" / "model")

    def test_failure_in_the_middle_leaves_the_old_model(self, tmp_path):
        folder = self.saved(tmp_path)
        before = (folder / storage.WEIGHTS_FILE).read_bytes()
        files = {storage.WEIGHTS_FILE: b"new", "no/such/folder/file": b""}
        with pytest.raises(StorageError, match="nothing was changed"):
            storage.write_folder(folder, files, overwrite=True)
        assert (folder / storage.WEIGHTS_FILE).read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["model"]

    def test_full_disk_leaves_no_file(self, tmp_path, monkeypatch):
        import os

        def full(fd):
            raise OSError(28, "No space left on device")

        path = storage.write_text(tmp_path / "p.json", "old")
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left on device"):
            storage.write_text(path, "new")
        assert path.read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["p.json"]

    def test_truncated_weights(self, tmp_path):
        folder = self.saved(tmp_path)
        weights = folder / storage.WEIGHTS_FILE
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(StorageError, match="cannot be read"):
            greenadapt.load(folder)

    def test_weights_of_another_model(self, tmp_path):
        folder = self.saved(tmp_path)
        other = greenadapt.save(awake("cifar_resnet14"), tmp_path / "other")
        (folder / storage.WEIGHTS_FILE).write_bytes((other / storage.WEIGHTS_FILE).read_bytes())
        with pytest.raises(ModelError, match="unexpected: layer"):
            greenadapt.load(folder)

    def test_recipe_that_is_no_text(self, tmp_path):
        (tmp_path / "greenadapt.json").write_bytes(bytes(range(256)))
        with pytest.raises(RecipeError, match="cannot be read"):
            greenadapt.load(tmp_path)

    @pytest.mark.parametrize("text", ["", "{", '{"format": "other"}', "[]"])
    def test_recipe_that_is_none(self, tmp_path, text):
        folder = self.saved(tmp_path)
        (folder / storage.RECIPE_FILE).write_text(text)
        with pytest.raises(RecipeError, match="is not a greenadapt recipe"):
            greenadapt.load(folder)

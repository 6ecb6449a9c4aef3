"""Images in files: class folders, lists of labels, zips; damaged and missing files."""

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from greenadapt.data import ImageFiles, open_data
from greenadapt.errors import DataError


def paint(path: Path, value: int, size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(value).integers(0, 20, (*size[::-1], 3))
    Image.fromarray((noise + value).astype(np.uint8)).save(path)


def class_folders(root: Path) -> Path:
    for i, name in enumerate(["ant", "bee", "cat"]):
        for j in range(4):
            paint(root / name / f"{j}.png", 60 * i + 10 * j)
    return root


def listed(root: Path, column: str = "label_0based") -> Path:
    rows = []
    for i in range(6):
        paint(root / "pictures" / f"{i}.jpg", 30 * i)
        rows.append(f"pictures/{i}.jpg,{i % 3 * 4}")
    (root / "labels.csv").write_text("\n".join([f"file,{column}", *rows]) + "\n")
    return root


def zipped(folder: Path, inner: str = "") -> Path:
    out = folder.with_suffix(".zip")
    with zipfile.ZipFile(out, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{inner}{file.relative_to(folder).as_posix()}")
    return out


def test_class_folders(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path / "zoo"), size=16)
    assert isinstance(data, ImageFiles)
    assert (len(data), data.classes, data.channels, data.name, data.split) == (12, 3, 3, "zoo", "all")
    assert data.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images, _ = next(iter(data.loader(12)))
    assert images.shape == (12, 3, 16, 16)
    brightness = images.mean((1, 2, 3))
    assert torch.equal(brightness, brightness.sort().values), "images and labels are out of step"


def test_a_class_without_images_keeps_its_number(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "zoo")
    shutil.rmtree(root / "bee")
    (root / "bee").mkdir()
    data = open_data(root)
    assert data.classes == 3
    assert set(data.labels.tolist()) == {0, 2}


def test_splits(tmp_path: Path) -> None:
    class_folders(tmp_path / "zoo" / "train")
    class_folders(tmp_path / "zoo" / "val")
    assert open_data(tmp_path / "zoo", split="train").split == "train"
    assert open_data(tmp_path / "zoo", split="test").split == "val"
    assert open_data(tmp_path / "zoo", split="val").classes == 3
    shutil.rmtree(tmp_path / "zoo" / "val")
    with pytest.raises(DataError, match="Splits there: train"):
        open_data(tmp_path / "zoo", split="test")


@pytest.mark.parametrize("column", ["label_0based", "label"])
def test_list_of_labels(tmp_path: Path, column: str) -> None:
    data = open_data(listed(tmp_path / "list", column))
    assert data.labels.tolist() == [0, 4, 8, 0, 4, 8]
    assert data.classes == 9


@pytest.mark.parametrize("inner", ["", "list/"])
def test_zip_gives_what_the_folder_gives(tmp_path: Path, inner: str) -> None:
    folder = listed(tmp_path / "list")
    from_folder, from_zip = open_data(folder), open_data(zipped(folder, inner))
    assert torch.equal(from_folder.labels, from_zip.labels)
    assert torch.equal(from_folder.batch(range(6))[0], from_zip.batch(range(6))[0])
    if not inner:
        assert from_folder.fingerprint == from_zip.fingerprint
    again = pickle.loads(pickle.dumps(from_zip))
    assert torch.equal(again.batch([2])[0], from_zip.batch([2])[0])


@pytest.mark.parametrize("inner", ["", "zoo/"])
def test_zip_of_class_folders(tmp_path: Path, inner: str) -> None:
    data = open_data(zipped(class_folders(tmp_path / "zoo"), inner))
    assert (len(data), data.classes) == (12, 3)


def test_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    assert open_data(class_folders(tmp_path / "zoo"), limit=3).labels.tolist() == [0, 1, 2]
    assert open_data(listed(tmp_path / "list"), limit=2).labels.tolist() == [0, 4]


def test_unreadable_image_is_named(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "zoo")
    whole = (root / "bee" / "1.png").read_bytes()
    (root / "bee" / "1.png").write_bytes(whole[: len(whole) // 2])
    (root / "cat" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"bee/1\.png") as caught:
        open_data(root)
    assert "1 more" in caught.value.seen
    assert "--skip-unreadable" in caught.value.todo
    data = open_data(root, skip_unreadable=True)
    assert data.skipped == ("bee/1.png", "cat/0.png")
    assert len(data) == 10
    assert data.labels.tolist() == [0] * 4 + [1] * 3 + [2] * 3
    assert len(torch.cat([y for _, y in data.loader(4)])) == 10


def test_truncated_jpeg_is_found_before_the_work_begins(tmp_path: Path) -> None:
    root = listed(tmp_path / "list")
    file = root / "pictures" / "4.jpg"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"pictures/4\.jpg"):
        open_data(root)


def test_listed_file_that_is_not_there(tmp_path: Path) -> None:
    root = listed(tmp_path / "list")
    (root / "pictures" / "3.jpg").unlink()
    with pytest.raises(DataError, match=r"pictures/3\.jpg"):
        open_data(root)
    assert open_data(root, skip_unreadable=True).skipped == ("pictures/3.jpg",)
    archive = zipped(root)
    assert open_data(archive, skip_unreadable=True).skipped == ("pictures/3.jpg",)


def test_file_that_vanishes_later_is_named(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path / "zoo"))
    (tmp_path / "zoo" / "ant" / "0.png").unlink()
    with pytest.raises(DataError, match=r"ant/0\.png"):
        data.batch([0])


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="There are no images"):
        open_data(tmp_path / "empty")
    (tmp_path / "notes" / "a").mkdir(parents=True)
    (tmp_path / "notes" / "a" / "x.txt").write_text("x")
    with pytest.raises(DataError, match="There are no images"):
        open_data(tmp_path / "notes")


@pytest.mark.parametrize("label", ["-1", "cat", "1.5", "", "99999999999999999999"])
def test_label_out_of_range_is_named_with_its_line(tmp_path: Path, label: str) -> None:
    root = listed(tmp_path / "list")
    with (root / "labels.csv").open("a") as file:
        file.write(f"pictures/0.jpg,{label}\n")
    with pytest.raises(DataError, match="Line 8"):
        open_data(root)


def test_list_without_the_columns(tmp_path: Path) -> None:
    root = listed(tmp_path / "list", "klass")
    with pytest.raises(DataError, match="Columns there: file, klass"):
        open_data(root)
    (root / "labels.csv").write_bytes(b"file,label\n\xff\xfe,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        open_data(root)


def test_neither_folder_nor_zip(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    with pytest.raises(DataError, match="cannot be read as a zip"):
        open_data(tmp_path / "x.zip")


def test_default_size_and_crop(tmp_path: Path) -> None:
    assert open_data(class_folders(tmp_path / "zoo")).batch([0])[0].shape == (1, 3, 30, 30)
    big = tmp_path / "big" / "a"
    big.mkdir(parents=True)
    ramp = np.broadcast_to(np.linspace(0, 255, 256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(big / "ramp.png")
    image = open_data(tmp_path / "big", mean=0.0, std=1.0)[0][0]
    assert image.shape == (3, 224, 224)
    assert image[0, 0, 0] * 255 == pytest.approx(16, abs=1.5), "the middle is not what is cropped"
    whole = open_data(tmp_path / "big", mean=0.0, std=1.0, crop_pct=1.0)[0][0]
    assert whole[0, 0, 0] * 255 == pytest.approx(0, abs=1.5)


def test_augmented_crops_change_with_the_epoch_only(tmp_path: Path) -> None:
    for i in range(4):
        paint(tmp_path / "big" / "a" / f"{i}.png", 40 * i, (300, 260))
    data = open_data(tmp_path / "big", size=128, augment=True)
    first = data.batch(range(4))[0]
    assert torch.equal(first, data.batch(range(4))[0])
    data.set_epoch(1)
    assert not torch.equal(first, data.batch(range(4))[0])
    assert (first.amin((1, 2, 3)) > -2.2).all()


def test_grey_images_for_a_grey_model(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path / "zoo"), size=28, in_chans=1)
    assert data.batch([0, 1])[0].shape == (2, 1, 28, 28)
    assert data.mean == (0.5,)


def test_fingerprint_follows_names_sizes_and_labels(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "zoo")
    before = open_data(root).fingerprint
    assert before == open_data(root).fingerprint
    (root / "ant" / "0.png").rename(root / "bee" / "9.png")
    assert open_data(root).fingerprint != before


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = (np.arange(40 * 40).reshape(40, 40) * 40).astype(np.uint16)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    Image.fromarray(ramp).save(tmp_path / "a" / "deep.png")
    Image.fromarray((ramp // 257).astype(np.uint8)).save(tmp_path / "b" / "plain.png")
    data = open_data(tmp_path, size=32)
    images, _ = data.batch([0, 1])
    torch.testing.assert_close(images[0], images[1], atol=0.05, rtol=0)

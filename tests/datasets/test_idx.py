"""The idx format, and the images that ship with the package."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from greenadapt.data import EMBEDDED, ImageArrays, open_data
from greenadapt.data.idx import encode_idx, parse_idx
from greenadapt.embedded import prepare
from greenadapt.errors import DataError, OptionError


def write(folder: Path, part: str = "t10k", count: int = 20, packed: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(len(part))
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = (np.arange(count) % 10).astype(np.uint8)
    for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
        data = encode_idx(values)
        name = f"{part}-{kind}-ubyte"
        (folder / f"{name}.gz" if packed else folder / name).write_bytes(
            data if packed else gzip.decompress(data)
        )
    return folder


def test_round_trip_and_header() -> None:
    values = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = encode_idx(values)
    assert gzip.decompress(data)[:16] == b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4)
    assert np.array_equal(parse_idx(data, "x"), values)
    assert np.array_equal(parse_idx(gzip.decompress(data), "x"), values)
    assert data == encode_idx(values)


@pytest.mark.parametrize("packed", [True, False])
def test_both_splits(tmp_path: Path, packed: bool) -> None:
    folder = write(write(tmp_path / "some", "train", 30, packed), "t10k", 20, packed)
    train, test = open_data(folder, split="train"), open_data(folder)
    assert (len(train), len(test), test.split, test.classes, test.channels) == (30, 20, "test", 10, 1)
    assert train.fingerprint != test.fingerprint
    assert test.batch([0])[0].shape == (1, 1, 28, 28)


def test_limit_takes_the_first_and_keeps_the_classes(tmp_path: Path) -> None:
    data = open_data(write(tmp_path / "some"), limit=3)
    assert data.labels.tolist() == [0, 1, 2]
    assert data.classes == 10
    with pytest.raises(OptionError, match="limit=0"):
        open_data(tmp_path / "some", limit=0)


def test_missing_split_names_those_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Splits there: test"):
        open_data(write(tmp_path / "some"), split="train")


def test_missing_labels(tmp_path: Path) -> None:
    folder = write(tmp_path / "some")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"The labels of split 'test'.*missing"):
        open_data(folder)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("keep", [0, 3, 10, 500])
def test_truncated_file_is_named(tmp_path: Path, packed: bool, keep: int) -> None:
    folder = write(tmp_path / "some", packed=packed)
    file = next(folder.glob("t10k-images*"))
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=file.name):
        open_data(folder)


def test_swapped_files(tmp_path: Path) -> None:
    folder = write(tmp_path / "some")
    images, labels = sorted(folder.iterdir())
    images.write_bytes(labels.read_bytes())
    with pytest.raises(DataError, match="holds no images"):
        open_data(folder)


def test_number_of_labels_differs(tmp_path: Path) -> None:
    folder = write(tmp_path / "some")
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(encode_idx(np.zeros(19, np.uint8)))
    with pytest.raises(DataError, match="20 images, 19 labels"):
        open_data(folder)


def test_embedded_images() -> None:
    data = open_data("fashion-mnist-2000")
    assert isinstance(data, ImageArrays)
    assert data.pixels.shape == (2000, 1, 28, 28)
    assert (data.mean, data.std, data.split, data.classes) == ((0.286,), (0.353,), "test", 10)
    assert data.labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]
    counts = data.labels.bincount()
    assert counts.min() > 150
    images = data.batch(range(2000))[0]
    assert abs(images.mean().item()) < 0.02
    assert abs(images.std().item() - 1) < 0.02


def test_embedded_licence_ships_beside_the_images() -> None:
    folder = Path(prepare.__file__).parent / "fashion-mnist-2000"
    text = (folder / "LICENSE").read_text()
    assert "Zalando SE" in text
    assert "Permission is hereby granted" in text


def test_unknown_name_offers_the_embedded() -> None:
    with pytest.raises(DataError, match=r"Did you mean fashion-mnist-2000"):
        open_data("fashion-mnist2000")
    with pytest.raises(DataError, match=EMBEDDED[0]):
        open_data("/nowhere/at/all")


def test_prepare_writes_the_same_bytes_again(tmp_path: Path) -> None:
    source = write(tmp_path / "whole", count=30)
    first = {f.name: f.read_bytes() for f in prepare.prepare(source, tmp_path / "a", 25)}
    second = {f.name: f.read_bytes() for f in prepare.prepare(source, tmp_path / "b", 25)}
    assert first == second
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(first), "a temporary file was left"
    again = open_data(tmp_path / "a")
    assert again.fingerprint == open_data(source, limit=25).fingerprint


def test_prepare_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prepare.main([str(write(tmp_path / "few")), "--out", str(tmp_path / "out")]) == 2
    assert "There are no 2000 test images" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert prepare.main([str(write(tmp_path / "many", count=2001)), "--out", str(tmp_path / "out")]) == 0
    assert len(open_data(tmp_path / "out")) == 2000

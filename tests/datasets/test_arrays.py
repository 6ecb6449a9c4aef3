"""Images in memory: batches, normalising, repeatable augmentation, the loader."""

import copy
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from greenadapt.data import ImageArrays, View
from greenadapt.errors import DataError, OptionError


def make(count: int = 10, channels: int = 1, size: int = 28, **view: object) -> ImageArrays:
    pixels = torch.randint(0, 256, (count, channels, size, size), generator=torch.Generator().manual_seed(3))
    return ImageArrays(pixels.byte(), torch.arange(count) % 5, view=View(**view))  # type: ignore[arg-type]


def test_batch_is_normalised_per_channel() -> None:
    data = make(channels=3, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    images, labels = data.batch([4, 2])
    raw = data.pixels[[4, 2]].double() / 255
    want = (raw - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / torch.tensor([0.5, 0.25, 1.0]).view(3, 1, 1)
    assert images.dtype == torch.float32
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    assert labels.tolist() == [4, 2]
    torch.testing.assert_close(images.double(), want, atol=1e-5, rtol=0)


def test_one_sample_is_a_row_of_the_batch() -> None:
    data = make(augment=True)
    image, label = data[3]
    images, labels = data.batch([1, 3])
    assert torch.equal(image, images[1])
    assert label == labels[1]


def test_loader_keeps_the_order_unless_asked() -> None:
    data = make(10)
    batches = list(data.loader(4))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([y for _, y in batches]), data.labels)
    assert torch.equal(torch.cat([x for x, _ in batches]), data.batch(range(10))[0])


def test_shuffling_and_augmenting_depend_on_seed_and_epoch_only() -> None:
    def epoch(data: ImageArrays, number: int, seed: int = 1) -> torch.Tensor:
        loader = data.loader(4, shuffle=True, seed=seed)
        data.set_epoch(number)
        return torch.cat([x for x, _ in loader])

    data = make(32, augment=True)
    zero, one = epoch(data, 0), epoch(data, 1)
    assert not torch.equal(zero, one)
    assert not torch.equal(zero, epoch(data, 0, seed=2))
    torch.manual_seed(99)
    assert torch.equal(one, epoch(make(32, augment=True), 1)), "a resumed training sees other batches"


def test_shuffled_epoch_holds_every_image_once() -> None:
    data = make(32)
    labels = torch.cat([y for _, y in data.loader(5, shuffle=True)])
    assert labels.tolist() != data.labels.tolist()
    assert sorted(labels.tolist()) == sorted(data.labels.tolist())


def test_augmentation_does_not_depend_on_the_batch() -> None:
    data = make(16, augment=True)
    together = data.batch(range(16))[0]
    assert together.is_contiguous()
    assert torch.equal(together[5], data.batch([5])[0][0])
    assert torch.equal(together[[9, 2]], data.batch([9, 2])[0])


@pytest.mark.parametrize(("size", "padding"), [(28, 2), (32, 4), (64, 8)])
def test_each_augmented_image_is_a_shift_or_mirror_within_the_padding(size: int, padding: int) -> None:
    plain = make(60, size=size, mean=0.0, std=1.0)
    data = make(60, size=size, mean=0.0, std=1.0, augment=True)
    images = data.batch(range(60))[0]
    seen = set()
    for i, got in enumerate(images):
        source = torch.nn.functional.pad(plain.batch([i])[0][0], (padding,) * 4)
        found = [
            (down, right, mirrored)
            for down in range(2 * padding + 1)
            for right in range(2 * padding + 1)
            for mirrored in (False, True)
            for window in [source[:, down : down + size, right : right + size]]
            if torch.equal(got, window.flip(-1) if mirrored else window)
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert {mirrored for *_, mirrored in seen} == {True, False}
    assert {down for down, *_ in seen} >= {0, padding, 2 * padding}


def test_channels_are_repeated_or_mixed() -> None:
    images = make(in_chans=3, mean=0.0, std=1.0).batch([0])[0]
    assert images.shape == (1, 3, 28, 28)
    assert torch.equal(images[:, 0], images[:, 2])
    red = torch.zeros(1, 3, 28, 28, dtype=torch.uint8)
    red[:, 0] = 255
    grey = ImageArrays(red, torch.zeros(1), view=View(in_chans=1, mean=0.0, std=1.0)).batch([0])[0]
    torch.testing.assert_close(grey, torch.full((1, 1, 28, 28), 0.299))


def test_images_are_resized_on_the_way_out() -> None:
    data = make(size=28, augment=False)
    resized = ImageArrays(data.pixels, data.labels, view=View(size=32))
    assert resized.batch([0, 1])[0].shape == (2, 1, 32, 32)
    assert resized.fingerprint == data.fingerprint, "the fingerprint is of the contents, not of the view"


def test_fingerprint_tells_pixels_and_labels_apart() -> None:
    data = make()
    pixels = data.pixels.clone()
    pixels[0, 0, 0, 0] ^= 1
    labels = data.labels.clone()
    labels[0] = 4
    prints = {
        make().fingerprint,
        ImageArrays(pixels, data.labels).fingerprint,
        ImageArrays(data.pixels, labels).fingerprint,
    }
    assert len(prints) == 3
    assert data.fingerprint in prints


def test_any_dataloader_and_worker_can_use_them() -> None:
    data = make(8, augment=True)
    want = data.batch(range(8))[0]
    assert torch.equal(torch.cat([x for x, _ in DataLoader(data, 3)]), want)
    for twin in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert torch.equal(twin.batch(range(8))[0], want)


def test_accelerate_passes_the_epoch_on() -> None:
    accelerate = pytest.importorskip("accelerate")
    data = make(32, augment=True)
    want = []
    for number in (0, 1):
        data.set_epoch(number)
        want.append(torch.cat([x for x, _ in data.loader(8, shuffle=True, seed=7)]))
    prepared = accelerate.Accelerator(cpu=True).prepare(data.loader(8, shuffle=True, seed=7))
    prepared.set_epoch(1)
    assert torch.equal(torch.cat([x for x, _ in prepared]), want[1])


def test_fit_to_a_model() -> None:
    data = make()
    data.check_fits(num_classes=5, in_chans=1)
    data.check_fits(num_classes=1000, in_chans=1)
    with pytest.raises(DataError, match=r"Labels go up to 4; the model has 3 classes"):
        data.check_fits(num_classes=3, in_chans=1)
    with pytest.raises(DataError, match="in_chans=3"):
        data.check_fits(num_classes=5, in_chans=3)


@pytest.mark.parametrize(
    ("pixels", "labels", "classes", "message"),
    [
        (torch.zeros(2, 1, 8, 8), torch.zeros(2), None, "no images"),
        (torch.zeros(2, 2, 8, 8, dtype=torch.uint8), torch.zeros(2), None, "no images"),
        (torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0), None, "There are no images"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(3), None, "differ in number"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, -1]), None, "out of range"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 7]), 7, "out of range"),
    ],
)
def test_arrays_that_do_not_fit(
    pixels: torch.Tensor, labels: torch.Tensor, classes: int | None, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        ImageArrays(pixels, labels, classes=classes)
    assert caught.value.seen
    assert caught.value.todo


@pytest.mark.parametrize(
    "options",
    [
        {"size": 0},
        {"in_chans": 2},
        {"crop_pct": 1.5},
        {"mean": (0.1, 0.2)},
        {"std": 0.0},
        {"std": (1.0, 1.0, 1.0)},
    ],
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    pixels = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    with pytest.raises(OptionError) as caught:
        ImageArrays(pixels, torch.zeros(2), view=View(**options))  # type: ignore[arg-type]
    assert caught.value.todo


def test_batch_size_out_of_range() -> None:
    with pytest.raises(OptionError, match="batch_size=0"):
        make().loader(0)

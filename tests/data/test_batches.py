"""Shuffling, augmentation and resuming in the middle of an epoch."""

import pytest
import torch

from tamis.data import Augmentation, batches, load_data, normalise, ordered_batches
from tamis.data._augmentation import crop, draw, mirror
from tamis.errors import UsageError

FULL = Augmentation(crop_padding=2, flip=True)


@pytest.fixture(scope="module")
def data():
    return load_data("synthetic", train_images=50, test_images=21, in_channels=2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def same(first, second):
    first, second = list(first), list(second)
    return len(first) == len(second) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True)
    )


def test_an_epoch_shows_every_image_once_normalised(data):
    epoch = list(batches(data, 16, generator()))
    assert [len(x) for x, _ in epoch] == [16, 16, 16, 2]
    images, labels = (torch.cat(parts) for parts in zip(*epoch, strict=True))
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    expected = normalise(data.train_x, data.mean, data.std)
    position = (images[:, None] == expected[None]).flatten(2).all(2).int().argmax(1)
    assert sorted(position.tolist()) == list(range(50))
    assert position.tolist() != list(range(50))
    assert torch.equal(labels, data.train_y[position])


def test_the_last_batch_can_be_left_out(data):
    epoch = batches(data, 16, generator(), drop_last=True)
    assert len(epoch) == 3
    assert [len(x) for x, _ in epoch] == [16, 16, 16]
    assert len(epoch) == 0


def test_a_saved_generator_state_repeats_the_epoch(data):
    source = generator()
    list(batches(data, 16, source, FULL))
    state = source.get_state()
    second = list(batches(data, 16, source, FULL))
    again = torch.Generator()
    again.set_state(state)
    assert same(second, batches(data, 16, again, FULL))
    assert not same(second, batches(data, 16, source, FULL))


@pytest.mark.parametrize("done", [0, 1, 3, 4, 9])
def test_an_epoch_resumes_after_any_batch(data, done):
    whole = list(batches(data, 16, generator(), FULL))
    rest = batches(data, 16, generator(), FULL, first_batch=done)
    assert len(rest) == max(0, 4 - done)
    assert same(whole[done:], rest)


def test_all_randomness_is_drawn_before_the_first_batch(data):
    source = generator()
    epoch = batches(data, 16, source, FULL)
    state = source.get_state()
    list(epoch)
    assert torch.equal(source.get_state(), state)


def test_the_global_generator_is_not_touched(data):
    before = torch.get_rng_state()
    list(batches(data, 16, generator(), FULL))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_happens_to_an_image_does_not_depend_on_the_batch_size(data):
    small = torch.cat([x for x, _ in batches(data, 7, generator(), FULL)])
    large = torch.cat([x for x, _ in batches(data, 50, generator(), FULL)])
    assert torch.equal(small, large)


@pytest.mark.parametrize("split", ["train", "test"])
def test_ordered_batches_are_the_stored_images(data, split):
    images, labels = (data.train_x, data.train_y) if split == "train" else (data.test_x, data.test_y)
    epoch = list(ordered_batches(data, 16, split))
    assert torch.equal(torch.cat([x for x, _ in epoch]), normalise(images, data.mean, data.std))
    assert torch.equal(torch.cat([y for _, y in epoch]), labels)


def test_a_crop_is_a_window_of_the_padded_image():
    images = torch.randint(1, 256, (5, 2, 6, 4), dtype=torch.uint8)
    corners = torch.tensor([[2, 2], [0, 0], [4, 4], [0, 4], [3, 1]])
    out = crop(images, corners, 2)
    assert out.dtype == torch.uint8
    assert out.shape == images.shape
    assert torch.equal(out[0], images[0])
    for number, (row, column) in enumerate(corners.tolist()):
        padded = torch.zeros(2, 10, 8, dtype=torch.uint8)
        padded[:, 2:8, 2:6] = images[number]
        assert torch.equal(out[number], padded[:, row : row + 6, column : column + 4])


def test_only_the_chosen_images_are_mirrored():
    images = torch.arange(12.0).reshape(2, 1, 2, 3)
    out = mirror(images, torch.tensor([True, False]))
    assert out[0, 0].tolist() == [[2, 1, 0], [5, 4, 3]]
    assert torch.equal(out[1], images[1])


def test_every_window_and_both_directions_are_about_equally_frequent():
    draws = draw(FULL, 25_000, generator())
    counts = torch.bincount(draws.corners[:, 0] * 5 + draws.corners[:, 1], minlength=25)
    assert len(counts) == 25
    # 1000 expected, standard deviation 31: five of them
    assert (counts - 1000).abs().max() < 155
    assert abs(draws.flips.float().mean().item() - 0.5) < 5 * 0.5 / 25_000**0.5


def test_no_augmentation_draws_only_the_order(data):
    source = generator()
    batches(data, 16, source)
    expected = generator()
    torch.randperm(50, generator=expected)
    assert torch.equal(source.get_state(), expected.get_state())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda data: batches(data, 0, generator()), "batch_size=0"),
        (lambda data: batches(data, 2.5, generator()), "batch_size=2.5"),
        (lambda data: batches(data, 51, generator(), drop_last=True), "leaves nothing of 50"),
        (lambda data: batches(data, 5, generator(), first_batch=-1), "first_batch=-1"),
        (lambda data: ordered_batches(data, 5, "val"), "'train' or 'test'"),
        (lambda data: Augmentation(crop_padding=-1), "crop_padding=-1"),
        (lambda data: Augmentation(crop_padding=True), "crop_padding=True"),
    ],
)
def test_arguments_out_of_range_are_refused(data, call, message):
    with pytest.raises(UsageError, match=message):
        call(data)

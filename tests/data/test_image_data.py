"""The value that every reader returns, and its normalisation."""

import dataclasses

import pytest
import torch

from tamis.data import ImageData, channel_statistics, make_image_data, normalise
from tamis.errors import UsageError


def images(count=6, dtype=torch.uint8, size=(4, 5), channels=3):
    values = torch.randint(256, (count, channels, *size))
    return values.to(dtype) if dtype == torch.uint8 else values.to(dtype) / 255


def labels(count=6):
    return torch.arange(count) % 2


def data(**changes):
    fields = {
        "train_x": images(),
        "train_y": labels(),
        "test_x": images(4),
        "test_y": labels(4),
        "classes": ("a", "b"),
        "name": "pictures",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
    }
    return ImageData(**{**fields, **changes})


def test_it_tells_its_sizes():
    value = data()
    assert (value.num_classes, value.in_channels, value.image_size) == (2, 3, (4, 5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_x": torch.zeros(6, 4, 5, dtype=torch.uint8)}, "train images are"),
        ({"train_x": images(dtype=torch.float64)}, "float64"),
        ({"test_x": images(0), "test_y": labels(0)}, "not empty"),
        ({"train_y": labels(5)}, "one int64 label for each of the 6 images"),
        ({"train_y": labels().int()}, "int32"),
        ({"train_y": labels() + 1}, "run from 1 to 2"),
        ({"test_y": labels(4) - 1}, "run from -1 to 0"),
        ({"test_x": images(4, size=(4, 4))}, "same channels, height, width"),
        ({"test_x": images(4, dtype=torch.float32)}, "and dtype"),
        ({"mean": (0.0,)}, "3 finite numbers"),
        ({"mean": (0.0, float("nan"), 0.0)}, "finite"),
        ({"std": (1.0, 0.0, 1.0)}, "above 0"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        data(**changes)


def test_labels_can_be_replaced_for_a_memorisation_probe():
    changed = dataclasses.replace(data(), train_y=1 - labels())
    assert torch.equal(changed.train_y, 1 - labels())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_statistics_are_those_of_all_pixels_of_a_channel(dtype):
    pixels = images(2500, dtype)
    mean, std = channel_statistics(pixels)
    scaled = pixels.double() / (255 if dtype == torch.uint8 else 1)
    assert mean == pytest.approx(scaled.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert std == pytest.approx(scaled.std((0, 2, 3), correction=0).tolist(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_normalised_training_pixels_have_mean_zero_and_deviation_one(dtype):
    value = make_image_data((images(100, dtype), labels(100)), (images(4, dtype), labels(4)), ["a", "b"], "p")
    pixels = normalise(value.train_x, value.mean, value.std).double()
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-6)
    assert pixels.std((0, 2, 3), correction=0).tolist() == pytest.approx([1, 1, 1], abs=1e-6)


def test_a_channel_of_one_value_becomes_zero_and_not_nan():
    flat = torch.full((3, 1, 2, 2), 7, dtype=torch.uint8)
    mean, std = channel_statistics(flat)
    assert std == (1.0,)
    assert normalise(flat, mean, std).abs().max() < 1e-7


def test_normalising_leaves_the_stored_images_alone():
    pixels = images(dtype=torch.float32)
    before = pixels.clone()
    normalise(pixels, (0.5, 0.5, 0.5), (2.0, 2.0, 2.0))
    assert torch.equal(pixels, before)


def test_given_statistics_replace_the_measured_ones():
    splits = (images(), labels()), (images(4), labels(4))
    value = make_image_data(*splits, ["a", "b"], "p", mean=[0.1, 0.2, 0.3])
    assert value.mean == (0.1, 0.2, 0.3)
    assert value.std == channel_statistics(value.train_x)[1]

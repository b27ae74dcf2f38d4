import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tamis.errors import UsageError
from tamis.transfer import PhotoTransform, PixelTransform
from tamis.transfer._normalisation import MEAN_STD
from tamis.transfer._transforms import crop_window, unit_pixels

RAW = {"mean": (0.0,) * 3, "std": (1.0,) * 3}


def photo(height: int, width: int) -> torch.Tensor:
    return torch.randint(256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(61, 90), (90, 61), (20, 20)])
def test_the_test_transform_agrees_with_pillow_to_one_grey_level(interpolation, height, width):
    image = pytest.importorskip("PIL.Image")
    picture = photo(height, width) // 2 + 64  # so that Pillow, which clips between its two passes, has nothing to clip
    short = min(height, width)
    sides = (40 * width // short, 40 * height // short)
    resized = image.fromarray(picture.permute(1, 2, 0).numpy()).resize(sides, image.Resampling[interpolation.upper()])
    left, top = round((sides[0] - 32) / 2), round((sides[1] - 32) / 2)
    expected = np.asarray(resized.crop((left, top, left + 32, top + 32)))
    transform = PhotoTransform(size=32, resize=40, interpolation=interpolation, **RAW)
    found = (transform.test([picture])[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 1


def test_lists_and_tensors_of_the_same_images_give_the_same_numbers():
    pictures = torch.stack([photo(40, 50), photo(40, 50).flip(2)])
    transform = PhotoTransform(size=32, resize=36)
    assert torch.equal(transform.test(pictures), transform.test(list(pictures)))


def test_a_random_crop_stays_inside_and_keeps_its_share_of_the_area():
    chances = torch.rand(500, 10, 5, generator=torch.Generator().manual_seed(0))
    for own in chances:
        top, left, height, width = crop_window(60, 80, own, (0.08, 1.0))
        assert top >= 0
        assert left >= 0
        assert top + height <= 60
        assert left + width <= 80
        assert 0.07 < height * width / 4800 <= 1
        assert 0.7 < width / height < 1.4


def test_where_no_attempt_fits_the_middle_is_cut_out():
    # area 1 and aspect ratio 4/3 never fit an image of 10 x 100
    chances = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]] * 10)
    assert crop_window(10, 100, chances, (0.08, 1.0)) == (0, 43, 10, 13)


def test_training_images_are_flipped_half_of_the_time():
    transform = PhotoTransform(size=8, resize=8, scale=(1.0, 1.0), **RAW)
    ramp = torch.arange(8, dtype=torch.uint8).expand(3, 8, 8).contiguous()
    draws = transform.draw(200, torch.Generator().manual_seed(3))
    draws[:, :, 1] = 0.5  # aspect ratio 1
    out = transform.train([ramp] * 200, draws)
    flipped = (out[:, 0, 0, 0] > out[:, 0, 0, 7]).sum().item()
    assert 70 < flipped < 130


def test_small_images_get_a_black_border_and_large_ones_the_mean_of_blocks():
    transform = PixelTransform(size=4, **RAW)
    padded = transform.test(torch.full((1, 1, 2, 2), 255, dtype=torch.uint8))
    assert padded[0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    halved = transform.test(torch.arange(64, dtype=torch.float32).reshape(1, 1, 8, 8) / 64)
    assert halved[0, 0, 0, 0].item() == pytest.approx((0 + 1 + 8 + 9) / 4 / 64)


def test_what_neither_fits_nor_is_a_multiple_is_refused():
    with pytest.raises(UsageError, match="photo transform"):
        PixelTransform(size=32).test(torch.zeros(1, 3, 40, 40))


def test_grey_becomes_three_channels_and_colour_its_luminance():
    grey = torch.tensor([[[[10, 200]]]], dtype=torch.uint8)
    assert unit_pixels(grey, 3).shape == (1, 3, 1, 2)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).reshape(1, 3, 1, 1)
    assert unit_pixels(red, 1).item() == pytest.approx(0.299)


BASE = PhotoTransform()
CHANGED = [
    dataclasses.replace(BASE, size=192),
    dataclasses.replace(BASE, resize=240),
    dataclasses.replace(BASE, interpolation="bicubic"),
    dataclasses.replace(BASE, antialias=False),
    dataclasses.replace(BASE, mean=(0.5, 0.5, 0.5)),
    dataclasses.replace(BASE, scale=(0.5, 1.0)),
    dataclasses.replace(BASE, flip=False),
    PixelTransform(),
    PixelTransform(size=28),
    PixelTransform(padding=0),
    PixelTransform(flip=False),
]


def test_every_option_of_a_transform_changes_its_id():
    ids = [BASE.id, *(transform.id for transform in CHANGED)]
    assert len(set(ids)) == len(ids)
    assert BASE.id == "photo-224-256-bilinear-aa-imagenet"


@pytest.mark.parametrize("transform", CHANGED, ids=lambda transform: transform.id)
def test_every_task_accepts_the_same_transform_options(transform):
    # a stored 64 x 64 set, a stored 28 x 28 grey set and a list of photographs go through any of them
    for images in (
        torch.zeros(2, 3, 28, 28, dtype=torch.uint8),
        torch.zeros(2, 1, 28, 28),
        [torch.zeros(3, 28, 24, dtype=torch.uint8)] * 2,
    ):
        draws = transform.draw(2, torch.Generator())
        shape = (2, 3, transform.size, transform.size)
        assert transform.test(images).shape == shape
        assert transform.train(images, draws).shape == shape


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"channels": 2}, {"std": (1.0, 0.0, 1.0)}, {"mean": (0.5,)}, {"resize": 100}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError):
        PhotoTransform(**options)


def test_the_bilinear_resize_of_a_constant_image_is_that_constant():
    constant = torch.full((3, 50, 70), 77, dtype=torch.uint8)
    assert torch.equal(PhotoTransform(size=32, resize=36, **RAW).test([constant]), torch.full((1, 3, 32, 32), 77 / 255))


def test_normalisation_constants_are_those_of_the_paper():
    golden = json.loads((Path(__file__).parents[1] / "golden/transfer_small.json").read_text())
    for task, (mean, std) in golden["normalisation"]["mean_std"].items():
        if task != "imagenet":
            assert MEAN_STD[task] == (tuple(mean), tuple(std))

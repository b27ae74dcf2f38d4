"""TintedDigits: its shapes, the correlations that it was made for, and that it never changes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tamis.data import AttributeData, TintedDigits
from tamis.data._digit_shapes import enlarge, shapes_of
from tamis.data._tinted_digits import ATTRIBUTES
from tamis.errors import UsageError

# measured when the task was designed, on another draw of the same distribution: (prevalence, corr Warm, corr Striped)
CHECKS = {
    "Loop": (0.394, 0.243, -0.174),
    "Even": (0.499, 0.455, -0.173),
    "Big": (0.5, -0.082, 0.155),
    "Straight": (0.298, -0.156, 0.194),
    "Thick": (0.295, 0.261, 0.14),
    "Slanted": (0.357, -0.249, 0.341),
    "Wide": (0.352, 0.187, -0.199),
    "TopHeavy": (0.335, 0.389, -0.083),
    "Dark": (0.453, 0.173, 0.172),
    "VerySlanted": (0.043, -0.161, 0.162),
}


@pytest.fixture(scope="module")
def data() -> AttributeData:
    return TintedDigits().generate()


def test_the_splits_have_the_published_sizes_and_share_no_digit(data: AttributeData) -> None:
    assert [tuple(data.split(split).images.shape) for split in ("train", "valid", "test")] == [
        (5028, 3, 16, 16),
        (716, 3, 16, 16),
        (1444, 3, 16, 16),
    ]
    bases = [set(data.split(split).base.tolist()) for split in ("train", "valid", "test")]
    assert sum(map(len, bases)) == len(set.union(*bases)) == 1797
    assert all((data.split(split).base.bincount()[list(base)] == 4).all() for split, base in zip(
        ("train", "valid", "test"), bases, strict=True))  # fmt: skip


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_prevalence_and_correlations_are_those_of_the_design(data: AttributeData, attribute: str) -> None:
    labels = data.labels("train", (attribute, "Warm", "Striped")).double().numpy()
    found = (labels[:, 0].mean(), *np.corrcoef(labels.T)[0, 1:])
    assert found == pytest.approx(CHECKS[attribute], abs=0.035)  # two standard errors of 1,257 digits


def test_every_group_of_the_test_split_has_eleven_of_the_rare_attribute(data: AttributeData) -> None:
    rare, *groups = data.labels("test", ("VerySlanted", "Warm", "Striped")).T
    assert min(int(rare[group == value].sum()) for group in groups for value in (0, 1)) >= 11


def test_a_digit_looks_warm_or_striped_as_its_identity_says(data: AttributeData) -> None:
    images, (warm, striped) = data.train.images, data.train.identities.T
    redness = (images[:, 0] - images[:, 2]).mean((1, 2))
    assert ((redness > 0) == (warm == 1)).float().mean() > 0.97
    bottom = images[:, :, -1:].mean((1, 2))  # hardly any ink in the last row
    stripes = bottom[:, 0::4] + bottom[:, 1::4] - bottom[:, 2::4] - bottom[:, 3::4]
    assert ((stripes.mean(1) > 0.16) == (striped == 1)).float().mean() > 0.9


def test_variants_of_a_digit_share_its_attributes_but_not_its_pixels(data: AttributeData) -> None:
    rows = torch.nonzero(data.train.base == data.train.base[0])[:, 0]
    assert (data.train.attributes[rows] == data.train.attributes[rows[0]]).all()
    assert not torch.equal(data.train.images[rows[0]], data.train.images[rows[1]])


def test_the_same_choices_give_the_same_data_and_another_seed_gives_others() -> None:
    small = TintedDigits(size=8, variants=1)
    one, two = small.generate(), small.generate()
    assert torch.equal(one.test.images, two.test.images)
    assert torch.equal(one.test.attributes, two.test.attributes)
    other = TintedDigits(size=8, variants=1, seed=1).generate()
    assert not torch.equal(one.test.ids, other.test.ids)


def test_pixels_lie_in_zero_to_one_and_one_scale_serves_all_splits(data: AttributeData) -> None:
    for split in ("train", "valid", "test"):
        images = data.split(split).images
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
    assert (data.mean, data.std) == ((0.5,) * 3, (0.5,) * 3)


def test_enlarging_keeps_corners_and_puts_means_between() -> None:
    assert enlarge(np.array([[[0.0, 1.0], [2.0, 3.0]]]), 3)[0].tolist() == [[0, 0.5, 1], [1, 1.5, 2], [2, 2.5, 3]]


def test_shapes_of_a_bar_that_leans_right() -> None:
    #  . . X
    #  . X .
    #  X . .
    bar = np.eye(3)[None, ::-1]
    found = {name: values[0] for name, values in shapes_of(bar).items()}
    assert found == pytest.approx({"thickness": 1.0, "slant": 1.0, "width": 1.0, "skewness": 0.0, "ink": 3.0})


def test_a_long_tail_upwards_is_a_positive_skewness_and_a_flat_box_is_wide() -> None:
    picture = np.zeros((1, 6, 4))
    picture[0, 5] = 1.0  # heavy below
    picture[0, 0, 1] = picture[0, 3, 1] = 0.5
    found = shapes_of(picture)
    assert found["skewness"][0] > 0
    assert found["width"][0] == 4 / 6


@pytest.mark.parametrize(("key", "value"), [("size", 7), ("variants", 0), ("seed", -1), ("seed", 1.5)])
def test_a_choice_out_of_range_is_refused_by_name(key: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{key}={value}"):
        TintedDigits(**{key: value})  # type: ignore[arg-type]

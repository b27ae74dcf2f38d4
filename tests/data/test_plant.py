"""Planted features: exact counts, places, colours, and a choice that no training seed moves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tamis.data import PLANTED, TintedDigits, attribute_loader, choose_planted, plant, plant_feature
from tamis.errors import UsageError


@given(
    labels=st.lists(st.integers(0, 1), min_size=1, max_size=60),
    neg=st.floats(0, 1),
    pos=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_each_class_gets_exactly_its_rounded_share(labels: list[int], neg: float, pos: float, seed: int) -> None:
    given = torch.tensor(labels)
    mask = choose_planted(given, neg, pos, seed)
    assert int(mask[given == 1].sum()) == round(pos * sum(labels))
    assert int(mask[given == 0].sum()) == round(neg * (len(labels) - sum(labels)))
    assert torch.equal(mask, choose_planted(given, neg, pos, seed))


def test_a_yellow_square_is_the_upper_left_two_percent() -> None:
    images = torch.zeros(2, 3, 16, 16)
    painted, mask = plant_feature(images, torch.tensor([0, 1]), "yellow_square", 0.0, 1.0, seed=0)
    assert mask.tolist() == [False, True]
    assert not painted[0].any()
    assert painted[1, :, :2, :2].flatten(1).tolist() == [[1.0] * 4, [1.0] * 4, [0.0] * 4]
    assert painted[1].sum() == 8
    assert not images.any()  # the given images stay


def test_the_square_of_the_published_size_has_side_32() -> None:
    painted, _ = plant_feature(torch.zeros(1, 3, 224, 224), torch.tensor([1]), "yellow_square", 0.0, 1.0, seed=0)
    assert painted[0, 0].sum() == 32 * 32


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_grayscale_gives_three_equal_channels_of_the_luma(dtype: torch.dtype) -> None:
    pixel = torch.tensor([100, 50, 200]).to(dtype)[None, :, None, None].expand(2, 3, 4, 4)
    grey, mask = plant_feature(pixel, torch.tensor([1, 0]), "grayscale", 0.0, 1.0, seed=0)
    luma = 0.299 * 100 + 0.587 * 50 + 0.114 * 200  # 82.05
    assert grey.dtype == dtype
    assert grey[0].unique().tolist() == pytest.approx([82 if dtype == torch.uint8 else luma])
    assert torch.equal(grey[1], pixel[1])
    assert mask.tolist() == [True, False]


def test_planting_into_data_adds_an_identity_and_paints_every_split_alike() -> None:
    data = TintedDigits(size=16, variants=1).generate()
    found = plant(data, "Loop", "yellow_square", train=(0.05, 0.95), colour=(1.0, 1.0, -1.0))
    assert found.identities == (*data.identities, PLANTED)
    for split, (neg, pos) in {"train": (0.05, 0.95), "valid": (0.5, 0.5), "test": (0.5, 0.5)}.items():
        loop, planted = found.labels(split, ("Loop", PLANTED)).T
        assert int(planted[loop == 1].sum()) == round(pos * int(loop.sum()))
        assert int(planted[loop == 0].sum()) == round(neg * int((loop == 0).sum()))
        images = torch.cat([images for images, _ in attribute_loader(found, split)])
        yellow = (images[:, :, 0, 0] == torch.tensor([1.0, 1.0, -1.0])).all(1)
        assert torch.equal(yellow, planted == 1)
    assert data.train.stamped is None


def test_grey_images_are_grey_before_anything_else_happens() -> None:
    found = plant(TintedDigits(size=8, variants=1).generate(), "Even", "grayscale", train=(0.35, 0.65))
    planted = found.labels("train", (PLANTED,))[:, 0] == 1
    spread = found.train.images.amax(1) - found.train.images.amin(1)
    assert (spread[planted] == 0).all()
    assert (spread[~planted].amax((1, 2)) > 0).all()
    assert found.train.stamped is None


def test_each_split_has_a_choice_of_its_own() -> None:
    data = TintedDigits(size=8, variants=1).generate()
    one = plant(data, "Loop", "grayscale")
    two = plant(data, "Loop", "grayscale", seeds=(11, 12, 99))
    assert torch.equal(one.valid.identities, two.valid.identities)
    assert not torch.equal(one.test.identities, two.test.identities)


def test_what_cannot_be_planted_is_refused() -> None:
    data = TintedDigits(size=8, variants=1).generate()
    with pytest.raises(UsageError, match="has a planted feature already"):
        plant(plant(data, "Loop", "grayscale"), "Loop", "grayscale")
    with pytest.raises(UsageError, match="has no 'Nose'"):
        plant(data, "Nose", "grayscale")
    with pytest.raises(UsageError, match="kind='blue'"):
        plant(data, "Loop", "blue")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"frac_pos=1\.5"):
        choose_planted(torch.tensor([0, 1]), 0.5, 1.5, 0)
    with pytest.raises(UsageError, match="one 0 or 1 for each sample"):
        choose_planted(torch.tensor([0, 2]), 0.5, 0.5, 0)
    with pytest.raises(UsageError, match="2 images and 1 labels"):
        plant_feature(torch.zeros(2, 3, 8, 8), torch.tensor([1]), "grayscale", 0, 1, 0)
    with pytest.raises(UsageError, match="three channels"):
        plant_feature(torch.zeros(1, 1, 8, 8), torch.tensor([1]), "grayscale", 0, 1, 0)
    with pytest.raises(UsageError, match="expected 3 numbers"):
        plant_feature(torch.zeros(1, 3, 8, 8), torch.tensor([1]), "yellow_square", 0, 1, 0, colour=(1.0,))

"""Images with several labels: what the value refuses, columns by name, and batches that treat all splits alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tamis.data import AttributeData, AttributeSplit, Augmentation, attribute_batches, attribute_loader
from tamis.errors import UsageError


def split(count: int = 6, start: int = 0, **changes: Any) -> AttributeSplit:
    generator = torch.Generator().manual_seed(start)
    given: dict[str, Any] = {
        "images": torch.rand(count, 3, 8, 8, generator=generator),
        "attributes": torch.randint(2, (count, 2), generator=generator, dtype=torch.uint8),
        "identities": torch.randint(2, (count, 1), generator=generator, dtype=torch.uint8),
        "ids": torch.arange(start, start + count),
        "base": torch.arange(count) // 2,
    }
    return AttributeSplit(**{**given, **changes})


def data(**changes: Any) -> AttributeData:
    given: dict[str, Any] = {
        "train": split(6), "valid": split(4, 10), "test": split(5, 20), "attributes": ("a", "b"),
        "identities": ("g",), "name": "toy", "mean": (0.5, 0.4, 0.3), "std": (0.5, 0.5, 0.25),
    }  # fmt: skip
    return AttributeData(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": torch.rand(6, 8, 8)}, r"images are \(6, 8, 8\) float32"),
        ({"images": torch.rand(0, 3, 8, 8)}, "not empty"),
        ({"images": torch.rand(6, 3, 8, 8).double()}, "float64"),
        ({"attributes": torch.zeros(5, 2, dtype=torch.uint8)}, "one row for each of 6 images"),
        ({"attributes": torch.full((6, 2), 2, dtype=torch.uint8)}, "hold 2; expected 0 and 1"),
        ({"identities": torch.zeros(6, 1)}, "identities are"),
        ({"ids": torch.arange(5)}, "ids are"),
        ({"base": torch.arange(6).float()}, "base are"),
        ({"stamped": torch.zeros(6)}, "stamped is"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        split(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attributes": ("a", "g")}, "each name once"),
        ({"attributes": ("a",)}, "train has 2 attributes and 1 identities; expected 1 and 1"),
        ({"test": split(5, 0)}, "ids repeat"),
        ({"valid": split(4, 10, images=torch.rand(4, 3, 9, 8))}, "valid images are"),
        ({"mean": (0.5,)}, "mean="),
        ({"std": (0.5, 0.5, 0.0)}, "above 0"),
        ({"train": split(6, stamped=torch.ones(6, dtype=torch.bool))}, "stamp="),
    ],
)
def test_splits_that_do_not_fit_each_other_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        data(**changes)


def test_columns_come_by_name_in_the_order_asked_for() -> None:
    found = data()
    both = found.labels("test", ("g", "b"))
    assert torch.equal(both[:, 0], found.test.identities[:, 0])
    assert torch.equal(both[:, 1], found.test.attributes[:, 1])
    with pytest.raises(UsageError, match="toy has no 'c'; its columns are a, b, g"):
        found.labels("test", ("c",))
    with pytest.raises(UsageError, match="expected one of train, valid, test"):
        found.labels("all", ("a",))


def test_an_epoch_shows_each_image_once_with_its_row() -> None:
    found = data()
    batches = list(attribute_batches(found, 4, torch.Generator().manual_seed(1)))
    assert [len(rows) for _, rows in batches] == [4, 2]
    images, rows = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert sorted(rows.tolist()) == list(range(6))
    expected = (found.train.images[rows] - torch.tensor(found.mean)[:, None, None]) / torch.tensor(found.std)[
        :, None, None
    ]
    torch.testing.assert_close(images, expected, rtol=0, atol=0)


def test_all_splits_are_prepared_alike() -> None:
    # the published loaders cropped test images and left training images as they were
    images = torch.rand(4, 3, 8, 8)
    found = data(train=split(4, images=images), valid=split(4, 10, images=images), test=split(4, 20, images=images))
    trained = dict(zip(*_rows_and_images(found), strict=True))
    for name in ("train", "valid", "test"):
        prepared, ids = next(iter(attribute_loader(found, name)))
        assert torch.equal(prepared, torch.stack([trained[row] for row in range(4)]))
        assert torch.equal(ids, found.split(name).ids)


def _rows_and_images(found: AttributeData) -> tuple[list[int], list[torch.Tensor]]:
    pairs = list(attribute_batches(found, 3, torch.Generator().manual_seed(0)))
    return torch.cat([rows for _, rows in pairs]).tolist(), list(torch.cat([images for images, _ in pairs]))


def test_the_stamp_is_painted_behind_shift_and_scale() -> None:
    stamped = torch.tensor([True, False, True, False, True, False])
    found = data(train=replace(split(6), stamped=stamped), stamp=(1.0, 1.0, -1.0))
    for images, rows in attribute_batches(found, 6, torch.Generator().manual_seed(3), Augmentation(crop_padding=2)):
        corner = images[:, :, :1, :1].flatten(1)
        is_yellow = (corner == torch.tensor([1.0, 1.0, -1.0])).all(1)
        assert torch.equal(is_yellow, stamped[rows])


def test_a_batch_of_no_image_is_refused() -> None:
    with pytest.raises(UsageError, match="batch_size=0"):
        list(attribute_loader(data(), batch_size=0))

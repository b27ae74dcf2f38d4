"""Batches of images with attributes; one function prepares the images of all splits, so none is treated differently."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from tamis.data._attribute_data import AttributeData, AttributeSplit
from tamis.data._augmentation import Augmentation, apply, draw
from tamis.data._image_data import normalise
from tamis.data._plant import paint_square
from tamis.errors import UsageError


def attribute_batches(
    data: AttributeData,
    batch_size: int,
    generator: torch.Generator,
    augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen, so sharing it is safe
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch over the training images in random order: ``(images, rows)``.

    ``images`` are float32 ``(B, C, H, W)``, augmented, then normalised, then stamped where a feature was planted;
    ``rows`` int64 ``(B,)`` are their places in ``data.train``.  Order and augmentation are drawn from ``generator``
    when the first batch is asked for.

    Raises ``UsageError`` if ``batch_size`` is below 1.
    """
    _check_batch_size(batch_size)
    split = data.train
    order = torch.randperm(len(split), generator=generator)
    draws = draw(augmentation, len(split), generator)
    for start in range(0, len(split), batch_size):
        part = slice(start, min(start + batch_size, len(split)))
        rows = order[part]
        yield _prepared(data, split, rows, apply(split.images[rows], augmentation, draws[part])), rows


def attribute_loader(
    data: AttributeData, split: str = "test", batch_size: int = 500
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image of a split once, in stored order, not augmented: ``(images, ids)``.

    ``images`` are float32 ``(B, C, H, W)``, prepared as in :func:`attribute_batches`; ``ids`` int64 ``(B,)`` are what
    outputs are aligned by.

    Raises ``UsageError`` for an unknown split or a ``batch_size`` below 1.
    """
    _check_batch_size(batch_size)
    part = data.split(split)
    for rows in torch.arange(len(part)).split(batch_size):
        yield _prepared(data, part, rows, part.images[rows]), part.ids[rows]


def _prepared(data: AttributeData, split: AttributeSplit, rows: Tensor, images: Tensor) -> Tensor:
    images = normalise(images, data.mean, data.std)
    return images if split.stamped is None else paint_square(images, split.stamped[rows], data.stamp)


def _check_batch_size(batch_size: int) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r}; expected a whole number of images, at least 1")

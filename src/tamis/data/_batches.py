"""Batches for training, shuffled and augmented from an explicit generator, and for measuring, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor

from tamis.data._augmentation import Augmentation, apply, draw
from tamis.data._image_data import ImageData, normalise
from tamis.errors import UsageError


class Batches(Iterator[tuple[Tensor, Tensor]]):
    """One epoch of training batches, made by :func:`batches`; ``len()`` is the number still to come."""

    def __init__(
        self,
        data: ImageData,
        batch_size: int,
        generator: torch.Generator,
        augmentation: Augmentation,
        drop_last: bool,
        first_batch: int,
    ) -> None:
        count = len(data.train_x)
        self._data, self._batch_size, self._augmentation = data, batch_size, augmentation
        # everything random is drawn here, so the generator's state between two epochs tells the whole story
        self._order = torch.randperm(count, generator=generator)
        self._draws = draw(augmentation, count, generator)
        self._end = count // batch_size * batch_size if drop_last else count
        self._next = first_batch * batch_size

    def __len__(self) -> int:
        return max(0, -(-(self._end - self._next) // self._batch_size))

    def __next__(self) -> tuple[Tensor, Tensor]:
        if self._next >= self._end:
            raise StopIteration
        part = slice(self._next, min(self._next + self._batch_size, self._end))
        self._next = part.stop
        chosen = self._order[part]
        images = apply(self._data.train_x[chosen], self._augmentation, self._draws[part])
        return normalise(images, self._data.mean, self._data.std), self._data.train_y[chosen]


def batches(
    data: ImageData,
    batch_size: int,
    generator: torch.Generator,
    augmentation: Augmentation = Augmentation(),  # noqa: B008 - frozen, so sharing it is safe
    *,
    drop_last: bool = False,
    first_batch: int = 0,
) -> Batches:
    """One epoch over the training images: an iterator of ``(images, labels)``.

    Images are float32 ``(B, C, H, W)``, augmented and then normalised; labels int64 ``(B,)``.  The last batch is
    smaller unless the batch size divides the number of images; ``drop_last`` leaves it out.

    Order and augmentation are drawn from ``generator`` (a CPU generator) when this is called, none later: to repeat
    an epoch, save ``generator.get_state()`` before the call; to resume in the middle, restore that state and pass
    ``first_batch``, the number of batches already used.  Which augmentation an image gets does not depend on
    ``batch_size``.

    Raises ``UsageError`` if ``batch_size`` is below 1, ``first_batch`` below 0, or no batch would be left.
    """
    _check_batch_size(batch_size)
    if isinstance(first_batch, bool) or not isinstance(first_batch, int) or first_batch < 0:
        raise UsageError(f"first_batch={first_batch!r}; expected the number of batches already used, at least 0")
    if drop_last and batch_size > len(data.train_x):
        raise UsageError(
            f"batch_size={batch_size} with drop_last leaves nothing of {len(data.train_x)} training images; "
            "choose a smaller batch"
        )
    return Batches(data, batch_size, generator, augmentation, drop_last, first_batch)


def ordered_batches(
    data: ImageData, batch_size: int, split: Literal["train", "test"] = "test"
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every image of a split once, in stored order, normalised, not augmented: ``(images, labels)`` as in
    :func:`batches`.

    Raises ``UsageError`` if ``batch_size`` is below 1 or ``split`` is neither "train" nor "test".
    """
    _check_batch_size(batch_size)
    if split not in ("train", "test"):
        raise UsageError(f"split={split!r}; expected 'train' or 'test'")
    images, labels = (data.train_x, data.train_y) if split == "train" else (data.test_x, data.test_y)
    return (
        (normalise(part, data.mean, data.std), answers)
        for part, answers in zip(images.split(batch_size), labels.split(batch_size), strict=True)
    )


def _check_batch_size(batch_size: int) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r}; expected a whole number of images, at least 1")

"""A task: what a model is transferred to, how its images are split, and which accuracy counts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.transfer._images import Images
from tamis.transfer._transforms import Transform

Metric = Literal["top1", "mean_per_class"]
Split = Literal["train", "test"]

# where a task has no validation set of its own: in each class every fifth image, in order
_EVERY = 5


@dataclass(frozen=True, eq=False)
class Task:
    """Labelled images in a train and a test split; section 1 of the transfer protocol.

    Attributes:
        name: letters, digits, ``_`` and ``-``; the column ``task`` of the results.
        classes: names; a label is an index into them.
        train: the training images, official validation images included (papers train the final model on both).
        test: the test images.  Nothing may be chosen with their labels.
        metric: the primary accuracy, ``top1`` or ``mean_per_class``; both are always stored.
        official_val: bool (n_train,), True where a training image belongs to the official validation set; None
            where there is no such set.
        mean, std: channel statistics of the training images on the scale 0 to 1 for ``norm="task"``; None if nobody
            has measured them.

    Raises:
        UsageError: labels beyond the classes, a bad name, or a validation mask that does not fit.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    metric: Metric = "top1"
    official_val: Tensor | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not self.name or not all(letter.isalnum() or letter in "_-." for letter in self.name):
            raise UsageError(f"task name {self.name!r}; expected letters, digits, '_', '-' and '.'")
        if self.metric not in get_args(Metric):
            raise UsageError(f"task {self.name}: metric {self.metric!r}; expected one of {', '.join(get_args(Metric))}")
        for split, images in (("train", self.train), ("test", self.test)):
            highest = int(images.labels.max())
            if highest >= len(self.classes):
                raise UsageError(
                    f"task {self.name}: {split} labels go up to {highest}; expected below {len(self.classes)}, the "
                    "number of classes"
                )
        mask = self.official_val
        if mask is not None and (mask.dtype != torch.bool or mask.shape != (self.n_train,)):
            raise UsageError(
                f"task {self.name}: official_val is {tuple(mask.shape)} {mask.dtype}; expected bool ({self.n_train},)"
            )
        if mask is not None and (bool(mask.all()) or not bool(mask.any())):
            raise UsageError(f"task {self.name}: official_val leaves nothing to train on or nothing to validate with")

    @property
    def n_train(self) -> int:
        """Training images, official validation images included."""
        return len(self.train)

    @property
    def n_test(self) -> int:
        """Test images."""
        return len(self.test)

    @property
    def num_classes(self) -> int:
        """Outputs of the new head."""
        return len(self.classes)

    @cached_property
    def split_sha256(self) -> str:
        """sha256 of the sorted lines ``relative/path<TAB>label<TAB>split``: equal where two people use one split.

        An image in memory has the sha256 of its pixels in place of a path.
        """
        return self._digest(lambda images: images.names())

    @cached_property
    def fingerprint(self) -> str:
        """Like :attr:`split_sha256`, but also changes when a file is replaced: the key for cached features."""
        return self._digest(lambda images: images.marks())

    def _digest(self, names: Callable[[Images], list[str]]) -> str:
        lines = []
        for split, images in (("train", self.train), ("test", self.test)):
            marks = names(images)
            for i, label in enumerate(images.labels.tolist()):
                val = split == "train" and self.official_val is not None and bool(self.official_val[i])
                lines.append(f"{marks[i]}\t{label}\t{'val' if val else split}\n")
        return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()

    def images(self, split: Split) -> Images:
        """The images of ``"train"`` or ``"test"``.

        Raises:
            UsageError: any other split.
        """
        if split not in get_args(Split):
            raise UsageError(f"split {split!r}; expected 'train' or 'test'")
        return self.train if split == "train" else self.test

    def labels(self, split: Split) -> Tensor:
        """int64 (N,) labels of a split, in the order of its images."""
        return self.images(split).labels

    def validation(self) -> Tensor:
        """bool (n_train,): True for the images that choose hyper-parameters.  Test images never do.

        The official validation set; without one, in each class every fifth image in order (the fifth, the tenth, ...).
        Where no class has five, the last image of each class that has at least two.

        Raises:
            UsageError: no class has two training images.
        """
        if self.official_val is not None:
            return self.official_val
        labels = self.train.labels
        chosen = torch.zeros(self.n_train, dtype=torch.bool)
        members = [(labels == label).nonzero()[:, 0] for label in range(self.num_classes)]
        for own in members:
            chosen[own[_EVERY - 1 :: _EVERY]] = True
        if not chosen.any():
            for own in members:
                if len(own) > 1:
                    chosen[own[-1]] = True
        if not chosen.any():
            raise UsageError(f"task {self.name}: no class has two training images, so none can be held out")
        return chosen

    def ordered_batches(
        self, split: Split, transform: Transform, batch_size: int = 128
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image of a split once, in order, through the *test* transform: features and measurements.

        Yields float32 (B, channels, size, size) and int64 (B,).  Files are decoded batch by batch, so that a large
        folder never has to fit into memory.
        """
        _check_batch_size(batch_size)
        images = self.images(split)
        for part in torch.arange(len(images)).split(batch_size):
            yield transform.test(images.take(part)), images.labels[part]

    def training_batches(
        self,
        transform: Transform,
        batch_size: int,
        generator: torch.Generator,
        *,
        rows: Tensor | None = None,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One shuffled, augmented epoch over the training images, or over ``rows`` of them (int64, such as those that
        are not held out).

        Order and augmentation are drawn from ``generator`` before the first batch is made, none later; the
        augmentation of an image does not depend on ``batch_size``.  A remainder of one image joins the last batch:
        batch normalisation cannot train on one.

        Yields float32 (B, channels, size, size) and int64 (B,).
        """
        _check_batch_size(batch_size)
        rows = torch.arange(self.n_train) if rows is None else rows
        if len(rows) == 0:
            raise UsageError(f"task {self.name}: no rows to train on")
        order = rows[torch.randperm(len(rows), generator=generator)]
        draws = transform.draw(len(rows), generator)
        return self._epoch(transform, batch_size, order, draws)

    def _epoch(
        self, transform: Transform, batch_size: int, order: Tensor, draws: Any
    ) -> Iterator[tuple[Tensor, Tensor]]:
        start = 0
        while start < len(order):
            stop = start + batch_size
            if stop == len(order) - 1:
                stop += 1
            part = order[start:stop]
            yield transform.train(self.train.take(part), draws[start:stop]), self.train.labels[part]
            start = stop


def _check_batch_size(batch_size: int) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise UsageError(f"batch_size={batch_size!r}; expected a whole number of images, at least 1")

"""The value that every reader returns: labelled images in memory, and how to normalise them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError

# images at a time in float64: bounds the extra memory of the statistics
_CHUNK = 1024


@dataclass(frozen=True, eq=False)
class ImageData:
    """A labelled image set in memory, split into train and test.

    ``train_x`` and ``test_x`` are ``(N, C, H, W)`` in uint8 (0 to 255) or float32; C, H, W and the dtype agree between
    the two.  ``train_y`` and ``test_y`` are int64 ``(N,)``, each label an index into ``classes``.  ``mean`` and
    ``std`` hold one number for each channel, in units where uint8 255 is 1.0 and float pixels count as they are:
    :func:`normalise` maps a pixel p to ``(p - mean) / std``.

    Raises ``UsageError`` where any of this does not hold, or a split is empty.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...]
    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for split, images, labels in (("train", self.train_x, self.train_y), ("test", self.test_x, self.test_y)):
            _check_split(f"{self.name}: {split}", images, labels, len(self.classes))
        if self.train_x.shape[1:] != self.test_x.shape[1:] or self.train_x.dtype != self.test_x.dtype:
            raise UsageError(
                f"{self.name}: train images are {_describe(self.train_x)}, test images {_describe(self.test_x)}; "
                "expected the same channels, height, width and dtype"
            )
        check_channels(self.name, self.mean, self.std, self.in_channels)

    @property
    def num_classes(self) -> int:
        """How many classes the labels may name."""
        return len(self.classes)

    @property
    def in_channels(self) -> int:
        """C: 1 for grey images, 3 for colour."""
        return self.train_x.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.train_x.shape[2], self.train_x.shape[3]


def check_channels(name: str, mean: Sequence[float], std: Sequence[float], channels: int) -> None:
    """UsageError unless each channel of the data ``name`` has a finite mean and a finite deviation above 0."""
    for label, numbers in (("mean", mean), ("std", std)):
        positive = label == "mean" or all(number > 0 for number in numbers)
        if len(numbers) != channels or not all(map(math.isfinite, numbers)) or not positive:
            raise UsageError(
                f"{name}: {label}={numbers}; expected {channels} finite numbers, one for each channel"
                + (", above 0" if label == "std" else "")
            )


def make_image_data(
    train: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    classes: Sequence[str],
    name: str,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Build an :class:`ImageData` from (images, labels) pairs; ``mean`` and ``std`` default to those of ``train``.

    Shapes, dtypes and errors are those of :class:`ImageData`.
    """
    (train_x, train_y), (test_x, test_y) = train, test
    if mean is None or std is None:
        _check_split(f"{name}: train", train_x, train_y, len(classes))
        measured_mean, measured_std = channel_statistics(train_x)
        mean = measured_mean if mean is None else mean
        std = measured_std if std is None else std
    return ImageData(train_x, train_y, test_x, test_y, tuple(classes), name, tuple(mean), tuple(std))


def channel_statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (divisor N H W) of each channel of ``(N, C, H, W)`` images, summed in float64.

    Units as in :class:`ImageData`.  A channel of one value gets a standard deviation of 1, so that normalising maps
    it to zero.
    """
    count = images.shape[0] * images.shape[2] * images.shape[3]
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    for chunk in images.split(_CHUNK):
        total += chunk.double().sum((0, 2, 3))
    mean = total / count
    squares = torch.zeros_like(total)
    for chunk in images.split(_CHUNK):
        squares += (chunk.double() - mean[:, None, None]).square_().sum((0, 2, 3))
    std = (squares / count).sqrt() / scale
    std[std < 1e-12] = 1.0
    return tuple((mean / scale).tolist()), tuple(std.tolist())


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``(N, C, H, W)`` uint8 or float32 -> a new float32 tensor ``(p - mean) / std``, uint8 divided by 255 first.

    The order of operations is torchvision's (ToTensor, then Normalize), so results agree with it bit for bit.
    """
    if images.dtype == torch.uint8:
        pixels = images.float().div_(255)
    else:
        pixels = images.clone()
    shape = (1, -1, 1, 1)
    return pixels.sub_(torch.tensor(mean).reshape(shape)).div_(torch.tensor(std).reshape(shape))


def _check_split(where: str, images: Tensor, labels: Tensor, classes: int) -> None:
    if images.dim() != 4 or images.dtype not in (torch.uint8, torch.float32) or images.numel() == 0:
        raise UsageError(f"{where} images are {_describe(images)}; expected (N, C, H, W), uint8 or float32, not empty")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        raise UsageError(
            f"{where} labels are {_describe(labels)}; expected one int64 label for each of the {len(images)} images"
        )
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise UsageError(f"{where} labels run from {low} to {high}; expected 0 to {classes - 1} for {classes} classes")


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"

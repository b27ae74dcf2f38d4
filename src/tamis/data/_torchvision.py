"""Data sets of torchvision, where it is installed."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tamis.data._image_data import ImageData, make_image_data
from tamis.errors import FileError, UsageError


def read_torchvision(
    name: str,
    root: str | os.PathLike[str] = "data",
    download: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Read ``torchvision.datasets.NAME`` into uint8 ``(N, C, H, W)``; grey images get one channel.

    For the classification sets that are built with ``train=True/False`` (MNIST, FashionMNIST, KMNIST, CIFAR10,
    CIFAR100, ...) or ``split="train"/"test"`` (SVHN, GTSRB, ...) and whose images have one size.  ``root`` is where
    torchvision looks; ``download`` lets it fetch what is missing.

    Raises ``UsageError`` if torchvision does not import (its wheel from PyPI may not fit a CPU-only torch), or has no
    such data set; ``FileError`` if the files are not there or do not fit.
    """
    try:
        # RuntimeError: torchvision's own operators were built for another torch
        sets = importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError, AttributeError, OSError) as error:
        raise UsageError(
            f"torchvision:{name} needs torchvision, which does not import here ({error}); install a build that fits "
            f"torch {torch.__version__}, or save the images to an .npz file"
        ) from error
    kind: Any = getattr(sets, name, None) if name.isidentifier() and not name.startswith("_") else None
    if not inspect.isclass(kind):
        raise UsageError(f"torchvision.datasets has no {name!r}; expected a class name such as CIFAR10 or MNIST")
    build: Callable[..., Any] = kind
    parameters = inspect.signature(kind).parameters
    if "train" in parameters:
        choices: tuple[dict[str, Any], dict[str, Any]] = {"train": True}, {"train": False}
    elif "split" in parameters:
        choices = {"split": "train"}, {"split": "test"}
    else:
        raise UsageError(f"torchvision.datasets.{name} has no train and test split; expected a set with both")
    extra = {"download": download} if "download" in parameters else {}
    where = f"torchvision:{name} in {os.fspath(root)}"
    try:
        train, test = (build(root, **choice, **extra) for choice in choices)
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(f"{where}: {error}; expected its files there, or pass download=True") from error
    classes = [str(label) for label in getattr(train, "classes", [])]
    splits = [_read_all(part, where) for part in (train, test)]
    highest = max(int(labels.max()) for _, labels in splits)
    names = classes if len(classes) > highest else [str(label) for label in range(highest + 1)]
    return make_image_data(splits[0], splits[1], names, name, mean, std)


def _read_all(dataset: Any, where: str) -> tuple[Tensor, Tensor]:
    images: list[np.ndarray] = []
    labels: list[int] = []
    for number in range(len(dataset)):
        image, label = dataset[number]
        array = np.asarray(image)
        if array.dtype != np.uint8 or array.ndim not in (2, 3) or (images and array.shape != images[0].shape):
            raise FileError(
                f"{where}: image {number} is {array.shape} {array.dtype}; expected uint8 images of one size"
            )
        images.append(array)
        labels.append(int(label))
    if not images:
        raise FileError(f"{where}: found no images")
    stacked = np.stack(images)
    planes = stacked[:, None] if stacked.ndim == 3 else stacked.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planes)), torch.tensor(labels)

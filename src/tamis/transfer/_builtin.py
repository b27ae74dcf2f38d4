"""Small tasks without a download, from the images that come with scikit-learn.

The digits tasks share the split of ``tamis.data.digits``, so that a backbone that was trained on its training images
has never seen a test image of them.  The photo tasks tell regions of a photograph apart; training and test patches come
from disjoint halves of a region, since random crops of one region overlap and leak.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tamis.data import digits
from tamis.errors import UsageError
from tamis.transfer._own_tasks import from_tensors
from tamis.transfer._task import Task

PATCH, STRIDE = 16, 12


def builtin_task(name: str) -> Task:
    """One of the tasks of :data:`BUILTIN`.

    Raises ``UsageError`` for another name, or if scikit-learn (for photos also Pillow) is not installed.
    """
    if name not in BUILTIN:
        raise UsageError(f"no built-in task {name!r}; expected one of {', '.join(BUILTIN)}")
    return BUILTIN[name][0]()


def digits_mirrored() -> Task:
    """The ten digits, mirrored left to right."""
    return _digits("digits_mirrored", lambda images: images.flip(3), lambda labels: labels)


def digits_rotated() -> Task:
    """The ten digits, turned by a quarter."""
    return _digits("digits_rotated", lambda images: images.rot90(1, (2, 3)), lambda labels: labels)


def digits_parity() -> Task:
    """Even or odd."""
    return _digits("digits_parity", lambda images: images, lambda labels: labels % 2, ("even", "odd"))


def china_patches() -> Task:
    """Which of eight regions of the photograph of a temple a 16 x 16 patch comes from."""
    return _patches("china_patches", "china.jpg")


def flower_patches() -> Task:
    """Which of eight regions of the photograph of a flower a 16 x 16 patch comes from."""
    return _patches("flower_patches", "flower.jpg")


# name -> (builder, what it is)
BUILTIN: dict[str, tuple[Callable[[], Task], str]] = {
    "digits_mirrored": (digits_mirrored, "ten digits, mirrored left to right"),
    "digits_rotated": (digits_rotated, "ten digits, turned by a quarter"),
    "digits_parity": (digits_parity, "digits: even or odd"),
    "china_patches": (china_patches, "16 x 16 patches of a photograph, eight regions"),
    "flower_patches": (flower_patches, "16 x 16 patches of another photograph, eight regions"),
}


def _digits(
    name: str,
    change: Callable[[Tensor], Tensor],
    relabel: Callable[[Tensor], Tensor],
    classes: tuple[str, ...] = tuple("0123456789"),
) -> Task:
    data = digits()
    pairs = [
        (change(images).contiguous(), relabel(labels))
        for images, labels in ((data.train_x, data.train_y), (data.test_x, data.test_y))
    ]
    return from_tensors(name, pairs[0], pairs[1], classes=classes, mean=data.mean, std=data.std)


def _patches(name: str, file: str) -> Task:
    try:
        from sklearn.datasets import load_sample_image

        photo = np.asarray(load_sample_image(file))
    except ImportError as error:
        raise UsageError(
            f"the task {name} needs scikit-learn and Pillow ({error}); install them with: "
            "pip install 'tamis[fair,vision]'"
        ) from error
    pixels = torch.from_numpy(photo.copy()).permute(2, 0, 1)
    rows, columns = 2, 4
    height, width = pixels.shape[1] // rows, pixels.shape[2] // columns
    splits: dict[str, list[Tensor]] = {"train": [], "test": []}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for region in range(rows * columns):
        top, left = region // columns * height, region % columns * width
        for half, split in enumerate(("train", "test")):
            start = left + half * (width // 2)
            part = pixels[:, top : top + height, start : start + width // 2]
            windows = part.unfold(1, PATCH, STRIDE).unfold(2, PATCH, STRIDE)
            found = windows.permute(1, 2, 0, 3, 4).reshape(-1, 3, PATCH, PATCH)
            splits[split].append(found)
            labels[split] += [region] * len(found)
    pairs = {split: (torch.cat(parts), torch.tensor(labels[split])) for split, parts in splits.items()}
    return from_tensors(name, pairs["train"], pairs["test"], classes=[f"region{i}" for i in range(rows * columns)])

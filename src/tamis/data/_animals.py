"""Photographs of twelve animals with the attributes of their kind (Animals with Attributes)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tamis.arrays import read_arrays
from tamis.data._attribute_data import AttributeData, AttributeSplit
from tamis.data._image_data import channel_statistics
from tamis.data._npz import MAX_BYTES, read_npz
from tamis.errors import FileError, UsageError

FILE = "attr_animals12_64.npz"
IDENTITIES = ("domestic", "bipedal", "furry")
VALID_SHARE = 0.1
LEAST_KINDS = 3  # an attribute is kept if so many kinds have it and so many have it not


def read_animals(folder: Path, *, images: int = 0, seed: int = 0, size: int = 32) -> AttributeData:
    """Read ``attr_animals12_64.npz`` of a folder: uint8 ``(N, 3, size, size)``.

    Attributes are those of the kind of animal (AwA's predicates), the same for all its photographs: a network that
    knows the animal knows them all.  Those that at least three of the twelve kinds have and three have not are to be
    predicted; domestic, bipedal and furry are identities.  A tenth of each kind's training images is ``valid``.

    Args:
        folder: holds the file.
        images: training images to keep at most; 0: all.
        seed: of the order of the training images and the choice of ``valid``.
        size: side in pixels, a whole fraction of the stored side; means of squares of pixels.

    Raises:
        FileError: the file is missing, damaged or mis-shaped.
        UsageError: ``size`` does not divide the stored side, or Pillow is not installed.
    """
    whole = read_npz(folder / FILE)
    arrays = read_arrays(folder / FILE, ("class_attr", "attr_names"), MAX_BYTES)
    table, names = arrays["class_attr"], [str(name) for name in arrays["attr_names"].tolist()]
    if table.shape != (whole.num_classes, len(names)) or not set(IDENTITIES) <= set(names) or table.max(initial=0) > 1:
        raise FileError(
            f"{folder / FILE}: class_attr is {table.shape} with {len(names)} names; expected 0 and 1, one row for each "
            f"of {whole.num_classes} classes, and the columns {', '.join(IDENTITIES)}"
        )
    if size < 1 or any(side % size for side in whole.image_size):
        raise UsageError(f"size={size}; expected a divisor of the stored side, {whole.image_size[0]} pixels")
    count = table.sum(0)
    kept = tuple(
        name
        for name, have in zip(names, count, strict=True)
        if LEAST_KINDS <= have <= len(table) - LEAST_KINDS and name not in IDENTITIES
    )
    kinds, order = whole.train_y.numpy(), np.random.RandomState(seed).permutation(len(whole.train_y))
    rank = np.zeros(len(order), np.int64)
    for kind in range(whole.num_classes):
        mine = order[kinds[order] == kind]
        rank[mine] = np.arange(len(mine))
    is_valid = rank < VALID_SHARE * np.bincount(kinds)[kinds]
    train = order[~is_valid[order]]
    train = train[: images or len(train)]

    def part(pixels: Tensor, classes: np.ndarray, rows: np.ndarray, first_id: int) -> AttributeSplit:
        chosen = torch.from_numpy(rows)
        mine = table[classes[rows]].astype(np.uint8)
        labels, groups = (
            torch.from_numpy(mine[:, [names.index(name) for name in wanted]]) for wanted in (kept, IDENTITIES)
        )
        return AttributeSplit(_shrink(pixels[chosen], size), labels, groups, chosen + first_id, chosen + first_id)

    parts = (
        part(whole.train_x, kinds, train, 0),
        part(whole.train_x, kinds, np.flatnonzero(is_valid), 0),
        part(whole.test_x, whole.test_y.numpy(), np.arange(len(whole.test_y)), len(kinds)),
    )
    mean, std = channel_statistics(parts[0].images)
    return AttributeData(*parts, kept, IDENTITIES, "animals", mean, std)


def _shrink(pixels: Tensor, size: int) -> Tensor:
    step = pixels.shape[-1] // size
    return F.avg_pool2d(pixels.float(), step).round().to(torch.uint8)

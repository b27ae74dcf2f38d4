"""MNIST with attributes measured on its images and with the group of its writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tamis.arrays import read_arrays
from tamis.data._attribute_data import AttributeData, AttributeSplit
from tamis.data._image_data import channel_statistics
from tamis.data._npz import MAX_BYTES, read_npz
from tamis.data._tinted_digits import CLASSES
from tamis.errors import FileError

IMAGES, GROUPS = "mnist.npz", "attr_mnist_groups.npz"
STUDENTS = 4  # of the field hsf: high-school students; 0 is staff of the Census Bureau
VALID_SHARE = 0.1
# attribute -> (measure, quantile of the training images above which it holds)
MEASURED = {"Thick": ("thickness", 0.7), "Slanted": ("slant", 0.65), "Wide": ("ratio", 0.6), "Dark": ("ink", 0.55),
            "VerySlanted": ("slant", 0.96)}  # fmt: skip
ATTRIBUTES = (*CLASSES, *MEASURED)
IDENTITIES = ("Student",)


def read_mnist_groups(folder: Path, *, images: int = 0, seed: int = 0) -> AttributeData:
    """Read ``mnist.npz`` and ``attr_mnist_groups.npz`` of a folder: uint8 ``(N, 1, 28, 28)``.

    Nine attributes: Loop, Even, Big and Straight follow from the digit, Thick, Slanted, Wide, Dark and VerySlanted from
    measures of the picture, cut at quantiles of the training images.  The identity Student says that a high-school
    student wrote the digit, not a member of staff of the Census Bureau (hsf 4 and 0 of NIST's special database 19, by
    QMNIST's labels).  ``base`` is the writer.

    The test split is MNIST's; ``valid`` are all images of a tenth of the training writers: no writer is in two splits.

    Args:
        folder: holds both files.
        images: training images to keep at most; 0: all.
        seed: of the choice of writers.

    Raises:
        FileError: a file is missing, damaged or mis-shaped, or the two do not fit each other.
    """  # fmt: skip
    whole = read_npz(folder / IMAGES)
    names = ("meta_names", "morph_names", "meta_train", "morph_train", "meta_test", "morph_test")
    arrays = read_arrays(folder / GROUPS, names, MAX_BYTES)
    for split, count in (("train", len(whole.train_y)), ("test", len(whole.test_y))):
        for kind, columns in (("meta", {"hsf", "writer"}), ("morph", {"ink", "thickness", "slant", "width", "height"})):
            table, found = arrays[f"{kind}_{split}"], arrays[f"{kind}_names"].tolist()
            if table.shape != (count, len(found)) or not columns <= set(found):
                raise FileError(
                    f"{folder / GROUPS}: {kind}_{split} is {table.shape} with columns {', '.join(map(str, found))}; "
                    f"expected {count} rows with {', '.join(sorted(columns))}"
                )
    writers = _column(arrays, "meta", "train", "writer")
    known = np.unique(writers)
    held = np.random.RandomState(seed).permutation(known)[: int(VALID_SHARE * len(known))]
    is_valid = np.isin(writers, held)
    train = np.flatnonzero(~is_valid)
    train = train[: images or len(train)]
    cuts = {name: np.quantile(_measure(arrays, "train", what)[train], q) for name, (what, q) in MEASURED.items()}
    parts = [
        _part(arrays, cuts, "train", rows, whole.train_x, whole.train_y, 0)
        for rows in (train, np.flatnonzero(is_valid))
    ]
    everything = np.arange(len(whole.test_y))
    test = _part(arrays, cuts, "test", everything, whole.test_x, whole.test_y, len(whole.train_y))
    mean, std = channel_statistics(parts[0].images)
    return AttributeData(parts[0], parts[1], test, ATTRIBUTES, IDENTITIES, "mnist_groups", mean, std)


def _part(
    arrays: dict[str, np.ndarray], cuts: dict[str, np.ndarray], split: str, rows: np.ndarray, pixels: Tensor,
    digits: Tensor, first_id: int,
) -> AttributeSplit:  # fmt: skip
    classes = digits.numpy()[rows]
    columns = [np.isin(classes, members) for members in CLASSES.values()]
    columns += [_measure(arrays, split, MEASURED[name][0])[rows] > cut for name, cut in cuts.items()]
    student = _column(arrays, "meta", split, "hsf")[rows] == STUDENTS
    return AttributeSplit(
        pixels[torch.from_numpy(rows)],
        torch.from_numpy(np.stack(columns, 1).astype(np.uint8)),
        torch.from_numpy(student[:, None].astype(np.uint8)),
        torch.from_numpy(rows + first_id),
        torch.from_numpy(_column(arrays, "meta", split, "writer")[rows].astype(np.int64)),
    )


def _measure(arrays: dict[str, np.ndarray], split: str, name: str) -> np.ndarray:
    if name == "ratio":
        return _column(arrays, "morph", split, "width") / np.maximum(_column(arrays, "morph", split, "height"), 1)
    return _column(arrays, "morph", split, name)


def _column(arrays: dict[str, np.ndarray], kind: str, split: str, name: str) -> np.ndarray:
    return arrays[f"{kind}_{split}"][:, arrays[f"{kind}_names"].tolist().index(name)]

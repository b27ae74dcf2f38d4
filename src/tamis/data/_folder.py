"""Folders of images, one subfolder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from tamis.arrays import MAX_BYTES
from tamis.data._decode import Channels, decode, pillow
from tamis.data._image_data import ImageData, make_image_data
from tamis.errors import FileError, UsageError

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
_TEST_FOLDERS = ("val", "test", "validation")

# (image file, label)
_Sample = tuple[Path, int]


def read_folder(
    path: str | os.PathLike[str],
    image_size: int | Sequence[int] | None = None,
    channels: Channels = 3,
    test_fraction: float = 0.2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageData:
    """Read a folder of images to uint8 ``(N, channels, H, W)``, with Pillow (``tamis[vision]``).

    Either ``train/CLASS/*`` with ``val/CLASS/*`` (or ``test/``, ``validation/``), or ``CLASS/*`` alone; the latter is
    split deterministically: of each class, sorted by file name and shuffled with a generator of seed 0, the share
    ``test_fraction`` (above 0, below 1; rounded, at least one image) goes to the test split.  Classes are the
    subfolders in sorted order.  Hidden files and files without an image's ending are passed over.

    ``image_size``: (H, W) or one side in pixels; images are scaled to cover it and cut to their middle.  Without it
    all images must have the same size.

    Raises ``FileError`` naming the folder or image if there are no images, a class has none, the test split has a
    class of its own, sizes differ, or an image is damaged; ``UsageError`` for options out of range or without Pillow.
    """
    folder = Path(path)
    size = _frame(image_size)
    if channels not in (1, 3):
        raise UsageError(f"channels={channels!r}; expected 1 (grey) or 3 (RGB)")
    if not isinstance(test_fraction, float) or not 0 < test_fraction < 1:
        raise UsageError(f"test_fraction={test_fraction!r}; expected a number between 0 and 1")
    if not folder.is_dir():
        raise FileError(f"{folder}: found no such folder; expected one subfolder of images for each class")
    if (folder / "train").is_dir():
        classes, train = _samples(folder / "train")
        test_folder = next((folder / name for name in _TEST_FOLDERS if (folder / name).is_dir()), None)
        if test_folder is None:
            raise FileError(
                f"{folder}: found train/ but no {'/, '.join(_TEST_FOLDERS)}/; expected a test split beside it"
            )
        test_classes, test = _samples(test_folder)
        strangers = sorted(set(test_classes) - set(classes))
        if strangers:
            raise FileError(f"{test_folder}: found the classes {', '.join(strangers[:5])}, which train/ does not have")
        test = [(file, classes.index(test_classes[label])) for file, label in test]
    else:
        classes, samples = _samples(folder)
        train, test = _split(folder, classes, samples, test_fraction)
    image_module = pillow(str(folder))
    splits = [_read_all(samples, size, channels, image_module) for samples in (train, test)]
    try:
        return make_image_data(splits[0], splits[1], classes, folder.resolve().name, mean, std)
    except UsageError as error:
        raise FileError(f"{folder}: {error}") from None


def _frame(image_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(sides) != 2 or any(isinstance(s, bool) or not isinstance(s, int) or s < 1 for s in sides):
        raise UsageError(f"image_size={image_size!r}; expected (height, width) or one side, in pixels, at least 1")
    return sides[0], sides[1]


def _samples(folder: Path) -> tuple[list[str], list[_Sample]]:
    classes = sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    samples = []
    for label, name in enumerate(classes):
        files = sorted(
            file
            for file in (folder / name).iterdir()
            if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not files:
            raise FileError(f"{folder / name}: found no image; expected files ending in {', '.join(sorted(_SUFFIXES))}")
        samples += [(file, label) for file in files]
    if not samples:
        raise FileError(f"{folder}: found no subfolder; expected one subfolder of images for each class")
    return classes, samples


def _split(
    folder: Path, classes: list[str], samples: list[_Sample], test_fraction: float
) -> tuple[list[_Sample], list[_Sample]]:
    generator = torch.Generator().manual_seed(0)
    train: list[_Sample] = []
    test: list[_Sample] = []
    for label, name in enumerate(classes):
        mine = [sample for sample in samples if sample[1] == label]
        if len(mine) < 2:
            raise FileError(f"{folder / name}: found one image; expected at least 2, one to train and one to test on")
        order = torch.randperm(len(mine), generator=generator).tolist()
        held_out = min(len(mine) - 1, max(1, round(len(mine) * test_fraction)))
        test += [mine[i] for i in sorted(order[:held_out])]
        train += [mine[i] for i in sorted(order[held_out:])]
    return train, test


def _read_all(
    samples: list[_Sample], size: tuple[int, int] | None, channels: Channels, image_module: ModuleType
) -> tuple[Tensor, Tensor]:
    images: np.ndarray | None = None
    for number, (file, _) in enumerate(samples):
        image = decode(file, str(file), channels, size, image_module)
        if images is None:
            if image.size * len(samples) > MAX_BYTES:
                raise FileError(
                    f"{file.parent.parent}: {len(samples)} images of {image.shape} exceed {MAX_BYTES >> 30} GiB; "
                    "pass a smaller image_size"
                )
            images = np.empty((len(samples), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            raise FileError(
                f"{file}: found {image.shape[0]} x {image.shape[1]} pixels after images of {images.shape[1]} x "
                f"{images.shape[2]}; expected one size, or pass image_size"
            )
        images[number] = image
    assert images is not None  # _samples refuses empty folders
    planes = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(planes)), torch.tensor([label for _, label in samples])

"""CIFAR-10 and CIFAR-100 from the binary version of their archives; the Python version is a pickle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tamis.errors import FileError
from tamis.transfer._archives import lines_of

_PIXELS = 3 * 32 * 32
PYTHON_VERSIONS = ("cifar-10-batches-py", "cifar-100-python")


def cifar10(folder: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], list[str]]:
    """``data_batch_{1..5}.bin``, ``test_batch.bin``, ``batches.meta.txt``: images uint8 (N, 3, 32, 32), labels."""
    files = [folder / f"data_batch_{i}.bin" for i in range(1, 6)]
    parts = [_records(file, 1) for file in files]
    train = torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])
    return train, _records(folder / "test_batch.bin", 1), lines_of(folder / "batches.meta.txt")


def cifar100(folder: Path) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], list[str]]:
    """``train.bin``, ``test.bin``, ``fine_label_names.txt``: the fine label counts."""
    train, test = _records(folder / "train.bin", 2), _records(folder / "test.bin", 2)
    return train, test, lines_of(folder / "fine_label_names.txt")


def _records(file: Path, labels: int) -> tuple[Tensor, Tensor]:
    """Images and the last of the ``labels`` bytes before each."""
    try:
        content = np.fromfile(file, np.uint8)
    except OSError as error:
        raise FileError(f"{file}: cannot be read ({error.strerror}); it belongs to the binary version") from None
    size = labels + _PIXELS
    if len(content) == 0 or len(content) % size:
        raise FileError(f"{file}: found {len(content)} bytes; expected a whole number of records of {size}")
    records = torch.from_numpy(content.reshape(-1, size))
    return records[:, labels:].reshape(-1, 3, 32, 32), records[:, labels - 1].long()

"""Masks as bitmaps: one bit per weight, in checkpoints and as the memory of earlier masks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from tamis.errors import FileError


def to_bitmap(mask: Tensor) -> Tensor:
    """A bool mask of any shape as uint8 ``(ceil(n / 8),)``: flat C order, the first weight in the highest bit.

    >>> to_bitmap(torch.tensor([True, False, False, False, False, False, False, True, True])).tolist()
    [129, 128]
    """
    return torch.from_numpy(np.packbits(mask.detach().cpu().reshape(-1).numpy()))


def from_bitmap(bits: Tensor, shape: Iterable[int]) -> Tensor:
    """The bool mask of ``shape`` that :func:`to_bitmap` stored.

    Raises:
        FileError: ``bits`` is not uint8 or has not the length that ``shape`` needs.
    """
    size = torch.Size(shape)
    n = size.numel()
    if bits.dtype != torch.uint8 or tuple(bits.shape) != (-(-n // 8),):
        raise FileError(
            f"a mask of shape {tuple(size)} needs {-(-n // 8)} bytes (uint8), got {bits.dtype} of shape "
            f"{tuple(bits.shape)}; the checkpoint is damaged or of another model"
        )
    return torch.from_numpy(np.unpackbits(bits.cpu().numpy(), count=n).astype(np.bool_)).reshape(size)

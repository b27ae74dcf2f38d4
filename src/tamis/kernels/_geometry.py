"""The geometry of one convolution (a linear layer is a 1 x 1 convolution of a 1 x 1 picture)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError


@dataclass(frozen=True)
class ConvGeometry:
    """What a convolution does to positions; independent of channels, batch and sparsity.

    Attributes:
        size: height and width of the input, in pixels.
        kernel: height and width of the kernel, in taps.
        stride: rows and columns that the kernel moves per output.
        padding: zeros added above, below, left and right of the input.
        dilation: distance of neighbouring taps, rows and columns.
        groups: number of channel groups.

    Raises:
        UsageError: the kernel does not fit the padded input, or a number is out of range.
    """

    size: tuple[int, int] = (1, 1)
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        whole = (*self.kernel, *self.stride, *self.dilation, self.groups)
        if min(whole) < 1 or min(self.padding) < 0:
            raise UsageError(
                f"kernel {self.kernel}, stride {self.stride}, dilation {self.dilation} and groups {self.groups} must "
                f"be at least 1, padding {self.padding} at least 0"
            )
        if min(self.output_size) < 1:
            raise UsageError(
                f"a kernel of {self.kernel} taps with dilation {self.dilation} does not fit an input of {self.size} "
                f"pixels with padding {self.padding}"
            )

    @property
    def output_size(self) -> tuple[int, int]:
        """Height and width of the output, in pixels."""
        top, bottom, left, right = self.padding
        rows = (self.size[0] + top + bottom - self.dilation[0] * (self.kernel[0] - 1) - 1) // self.stride[0] + 1
        cols = (self.size[1] + left + right - self.dilation[1] * (self.kernel[1] - 1) - 1) // self.stride[1] + 1
        return rows, cols

    @property
    def taps(self) -> int:
        """Number of taps of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def phases(self) -> int:
        """Number of phases into which the stride splits the input."""
        return self.stride[0] * self.stride[1]

    def phase_of_tap(self) -> Tensor:
        """Phase of the input that each tap reads, int64 ``(taps,)``."""
        row = (torch.arange(self.kernel[0]) * self.dilation[0] - self.padding[0]) % self.stride[0]
        col = (torch.arange(self.kernel[1]) * self.dilation[1] - self.padding[2]) % self.stride[1]
        return (row[:, None] * self.stride[1] + col[None, :]).reshape(-1)

    def as_list(self) -> list[int]:
        """The integers that the native operations take, in the order of ``csrc/problem.h``."""
        top, _, left, _ = self.padding
        return [*self.size, *self.output_size, *self.kernel, *self.stride, top, left, *self.dilation, self.groups]


# Making one costs more than all else that a small layer does in Python; networks use a few dozen again and again.
_MOST_KNOWN = 4096
_known: dict[tuple[object, ...], ConvGeometry] = {}


def geometry_of(
    size: tuple[int, int],
    kernel: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    padding: tuple[int, int, int, int],
    dilation: int | tuple[int, ...],
    groups: int,
) -> ConvGeometry:
    """The geometry of these numbers, made once; kernel, stride and dilation as ``nn.Conv2d`` keeps them."""
    if torch.compiler.is_compiling():
        return ConvGeometry(size, pair(kernel), pair(stride), padding, pair(dilation), groups)
    numbers = (size, kernel, stride, padding, dilation, groups)
    geometry = _known.get(numbers)
    if geometry is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        geometry = ConvGeometry(size, pair(kernel), pair(stride), padding, pair(dilation), groups)
        _known[numbers] = geometry
    return geometry


def pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    """An int or a pair of ints as a pair."""
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)

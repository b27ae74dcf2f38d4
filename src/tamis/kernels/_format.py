"""Orders in memory of a batch of images: NCHW, channels_last, and batch-last, in which each channel is one stretch.

A batch-last tensor is an ordinary torch tensor ``(N, C, H, W)`` with the strides of a contiguous ``(C, H, W, N)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tamis.kernels._extension import why_not

# Dimensions in the order of memory, outermost first; the keys are csrc/torch_images.h's Format.
NCHW, BATCH_LAST, CHANNELS_LAST = 0, 1, 2
_ORDER = {NCHW: (0, 1, 2, 3), BATCH_LAST: (1, 2, 3, 0), CHANNELS_LAST: (0, 2, 3, 1)}
# With fewer channels than a vector has floats torch turns NCHW and channels_last into each other faster.
_VECTOR = 16
_BACK = {NCHW: (0, 1, 2, 3), BATCH_LAST: (3, 0, 1, 2), CHANNELS_LAST: (0, 3, 1, 2)}


def format_of(x: Tensor) -> int | None:
    """The first of the three formats that ``x`` ``(N, C, H, W)`` has without gaps; None for any other strides."""
    for known in (NCHW, BATCH_LAST, CHANNELS_LAST):
        if x.permute(_ORDER[known]).is_contiguous():
            return known
    return None


def nearest_format(x: Tensor) -> int:
    """The format of what the kernels make of ``x`` in any strides: by what lies innermost (csrc/torch_images.cpp)."""
    if x.is_contiguous():
        return NCHW
    channels, pixels = x.shape[1], x.shape[2] * x.shape[3]
    if x.shape[0] > 1 and x.stride(0) == 1 and channels * pixels > 1 and (pixels > 1 or x.stride(1) != 1):
        return BATCH_LAST
    return CHANNELS_LAST if channels > 1 and x.stride(1) == 1 and pixels > 1 else NCHW


def in_format(x: Tensor, wanted: int) -> Tensor:
    """``x``, of shape (N, C, H, W), itself where it has the format, else a copy; its gradient keeps its own format."""
    if (x if wanted == NCHW else x.permute(_ORDER[wanted])).is_contiguous():
        return x
    known = format_of(x)
    native = why_not is None and known is not None and x.dtype == torch.float32 and x.device.type == "cpu" and x.numel()
    if native and (known == BATCH_LAST or wanted == BATCH_LAST or x.shape[1] >= _VECTOR):
        return _InFormat.apply(x, wanted)
    return x.permute(_ORDER[wanted]).contiguous().permute(_BACK[wanted])


class _InFormat(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, wanted: int) -> Tensor:
        return torch.ops.tamis.to_format(x, wanted)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def to_batch_last(x: Tensor) -> Tensor:
    """``x`` ``(N, C, H, W)`` with the images innermost in memory; no copy where it is so already."""
    return in_format(x, BATCH_LAST)


def empty_in_format(source: Tensor, shape: tuple[int, int, int, int], wanted: int) -> Tensor:
    """A new tensor like ``source`` of another shape and format (for tracing)."""
    return source.new_empty([shape[d] for d in _ORDER[wanted]]).permute(_BACK[wanted])


def preferred_format(x: Tensor) -> int | None:
    """The format in which the layers behind ``x`` should work; None keeps that of ``x``.

    The one place that decides it: fused blocks ask here about the result of their convolutions.  Batch-last needs no
    turning of matrices when panels are packed, and makes a channel one stretch of memory for batch norm; it pays when
    the images fill whole vectors.
    """
    return BATCH_LAST if x.shape[0] % 16 == 0 else None


if why_not is None:

    @torch.library.register_fake("tamis::to_format")
    def _(x, format):
        return empty_in_format(x, tuple(x.shape), format)

"""Orders in memory of a batch of images: NCHW, channels_last, and batch-last, in which each channel is one stretch.

A batch-last tensor is an ordinary torch tensor ``(N, C, H, W)`` with the strides of a contiguous ``(C, H, W, N)``.
"""

from __future__ import annotations

from torch import Tensor

# Dimensions in the order of memory, outermost first; the keys are csrc/torch_images.h's Format.
NCHW, BATCH_LAST, CHANNELS_LAST = 0, 1, 2
_ORDER = {NCHW: (0, 1, 2, 3), BATCH_LAST: (1, 2, 3, 0), CHANNELS_LAST: (0, 2, 3, 1)}
_BACK = {NCHW: (0, 1, 2, 3), BATCH_LAST: (3, 0, 1, 2), CHANNELS_LAST: (0, 3, 1, 2)}


def format_of(x: Tensor) -> int | None:
    """The first of the three formats that ``x`` ``(N, C, H, W)`` has without gaps; None for any other strides."""
    for known in (NCHW, BATCH_LAST, CHANNELS_LAST):
        if x.permute(_ORDER[known]).is_contiguous():
            return known
    return None


def in_format(x: Tensor, wanted: int) -> Tensor:
    """``x`` itself where it has the format, else a copy that does."""
    return x.permute(_ORDER[wanted]).contiguous().permute(_BACK[wanted])


def to_batch_last(x: Tensor) -> Tensor:
    """``x`` ``(N, C, H, W)`` with the images innermost in memory; no copy where it is so already."""
    return in_format(x, BATCH_LAST)


def empty_in_format(source: Tensor, shape: tuple[int, int, int, int], wanted: int) -> Tensor:
    """A new tensor like ``source`` of another shape and format (for tracing)."""
    return source.new_empty([shape[d] for d in _ORDER[wanted]]).permute(_BACK[wanted])


def preferred_format(x: Tensor) -> int | None:
    """The format in which the layers behind ``x`` should work; None keeps that of ``x``.

    The one place that decides it: fused blocks ask here about the result of their convolutions.
    """
    return None

"""Max pooling that remembers the tap of each maximum in a byte."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from tamis.kernels import _native
from tamis.kernels._format import NCHW, empty_in_format, format_of, in_format
from tamis.kernels._geometry import pair

_MOST_TAPS = 256


def max_pool2d(
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """:func:`torch.nn.functional.max_pool2d` with the same arguments, results, ties and NaN.

    float32 ``(N, C, H, W)`` on the CPU with at most 256 taps runs natively, everything else, and every mistake, is
    torch's.
    """
    x_geometry = _geometry(x, kernel_size, stride, padding, dilation, ceil_mode)
    if x_geometry is None:
        return F.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
    y, _ = _MaxPool.apply(x, x_geometry)
    return y


def _geometry(
    x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> list[int] | None:
    """The integers that the native operation takes; None where torch shall do it."""
    if _native.why_not is not None or x.dtype != torch.float32 or x.device.type != "cpu":
        return None
    if x.dim() != 4 or x.numel() == 0:
        return None
    try:
        kernel, pads, dilations = pair(kernel_size), pair(padding), pair(dilation)
        strides = kernel if stride is None or stride == [] else pair(stride)
    except (TypeError, ValueError):
        return None
    if min(*kernel, *strides, *dilations) < 1 or min(pads) < 0 or kernel[0] * kernel[1] > _MOST_TAPS:
        return None
    if any(2 * pad > k for pad, k in zip(pads, kernel, strict=True)):
        return None
    out = [
        _outputs(size, k, s, p, d, ceil_mode)
        for size, k, s, p, d in zip(x.shape[2:], kernel, strides, pads, dilations, strict=True)
    ]
    # With dilation a window may have no tap inside the picture; torch has its own answer to that, and in 2.13 a
    # gradient that writes past the picture.
    if min(out) < 1 or any(2 * p > k and d > 1 for p, k, d in zip(pads, kernel, dilations, strict=True)):
        return None
    if any(
        _misses(size, n, k, s, p, d)
        for size, n, k, s, p, d in zip(x.shape[2:], out, kernel, strides, pads, dilations, strict=True)
    ):
        return None
    return [x.shape[2], x.shape[3], *out, *kernel, *strides, *pads, *dilations]


def _outputs(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil_mode: bool) -> int:
    room = size + 2 * pad - dilation * (kernel - 1) - 1
    outputs = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    # The last window must start inside the picture or its left padding.
    if ceil_mode and (outputs - 1) * stride >= size + pad:
        outputs -= 1
    return outputs


def _misses(size: int, outputs: int, kernel: int, stride: int, pad: int, dilation: int) -> bool:
    """Whether some window has no tap inside the picture."""
    if dilation == 1:
        return False
    return any(not any(0 <= o * stride - pad + t * dilation < size for t in range(kernel)) for o in range(outputs))


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, geometry: list[int]) -> tuple[Tensor, Tensor]:
        ctx.format = format_of(x)
        if ctx.format is None:
            ctx.format, x = NCHW, x.contiguous()
        y, index = torch.ops.tamis.max_pool(x, geometry)
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(index)
        ctx.geometry = geometry
        ctx.mark_non_differentiable(index)
        return y, index

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, None]:
        (index,) = ctx.saved_tensors
        grad = in_format(grad, ctx.format)
        return torch.ops.tamis.max_pool_grad(grad, index, ctx.geometry, ctx.format), None


if _native.why_not is None:

    @torch.library.register_fake("tamis::max_pool")
    def _(x, geometry):
        known = format_of(x)
        shape = (x.shape[0], x.shape[1], geometry[2], geometry[3])
        y = empty_in_format(x, shape, NCHW if known is None else known)
        return y, x.new_empty((y.numel(),), dtype=torch.uint8)

    @torch.library.register_fake("tamis::max_pool_grad")
    def _(grad, index, geometry, format):
        return empty_in_format(grad, (grad.shape[0], grad.shape[1], geometry[0], geometry[1]), format)

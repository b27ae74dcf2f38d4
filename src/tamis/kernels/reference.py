"""The plain-torch twin of every native operation: unpack, compute densely, keep what is live.

Used with ``TAMIS_NATIVE=0``, for other dtypes and devices, where no native library was built, and as the dense side of
the measured choice.  Differentiable by torch itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._pattern import PackedPattern


def linear(x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern) -> Tensor:
    """``x W^T + b``; ``x`` ``(..., I)``, ``values`` ``(nnz,)``, ``bias`` ``(O,)`` or None; returns ``(..., O)``."""
    return F.linear(x, pattern.unpack(values), bias)


def conv2d(x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, geometry: ConvGeometry) -> Tensor:
    """Cross-correlation of ``x`` ``(N, C, H, W)`` with the unpacked weight; returns ``(N, O, OH, OW)``."""
    if _is_linear(geometry):
        return linear(x[:, :, 0, 0], values, bias, pattern)[:, :, None, None]
    weight = pattern.unpack(values).reshape(pattern.shape[0], -1, *geometry.kernel)
    top, bottom, left, right = geometry.padding
    if top == bottom and left == right:
        return F.conv2d(x, weight, bias, geometry.stride, (top, left), geometry.dilation, geometry.groups)
    return F.conv2d(
        F.pad(x, (left, right, top, bottom)), weight, bias, geometry.stride, 0, geometry.dilation, geometry.groups
    )


def conv2d_grad_input(grad: Tensor, weight: Tensor, geometry: ConvGeometry) -> Tensor:
    """Gradient of the input ``(N, C, H, W)`` from ``grad`` ``(N, O, OH, OW)`` and the dense ``weight``."""
    if _is_linear(geometry):
        return (grad[:, :, 0, 0] @ weight[:, :, 0, 0])[:, :, None, None]
    shape = (grad.shape[0], weight.shape[1] * geometry.groups, *geometry.size)
    return _dense_backward(grad, grad.new_empty(1).expand(shape), weight, geometry, (True, False))[0]


def conv2d_grad_weight(grad: Tensor, x: Tensor, shape: tuple[int, ...], geometry: ConvGeometry) -> Tensor:
    """Gradient of the whole dense weight of ``shape`` ``(O, I/groups, KH, KW)``."""
    if _is_linear(geometry):
        return (grad[:, :, 0, 0].T @ x[:, :, 0, 0])[:, :, None, None]
    return _dense_backward(grad, x, grad.new_empty(1).expand(shape), geometry, (False, True))[1]


def _is_linear(geometry: ConvGeometry) -> bool:
    # A linear layer comes as a 1 x 1 convolution of 1 x 1 pictures; torch's matrix product is the fair dense side.
    return geometry == ConvGeometry()


def _dense_backward(
    grad: Tensor, x: Tensor, weight: Tensor, geometry: ConvGeometry, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    top, bottom, left, right = geometry.padding
    even = top == bottom and left == right
    if not even:  # torch's own backward knows only equal padding on both sides
        x = F.pad(x, (left, right, top, bottom))
    grad_x, grad_w, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, geometry.stride, (top, left) if even else (0, 0), geometry.dilation,
        False, (0, 0), geometry.groups, (*wanted, False),
    )  # fmt: skip
    if not even and wanted[0]:
        grad_x = grad_x[:, :, top : top + geometry.size[0], left : left + geometry.size[1]]
    return grad_x, grad_w

"""Sparse linear and convolution functions: native where possible, the reference elsewhere, one meaning everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tamis.errors import UsageError
from tamis.kernels import _native, reference
from tamis.kernels._autocast import as_float32, under_autocast
from tamis.kernels._checks import check_geometry, check_operands
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._inner import InnerPattern
from tamis.kernels._pattern import PackedPattern

_ONE_PIXEL = ConvGeometry()


def sparse_linear(
    x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, inner: InnerPattern | None = None
) -> Tensor:
    """``Y = X W^T + b`` with only the live weights of ``W`` stored.

    Args:
        x: ``(..., I)``; float32 on the CPU runs natively, other dtypes and devices through the reference.
        values: live weights ``(nnz,)`` in the order of ``pattern``; its gradient has the same shape.
        bias: ``(O,)`` or None.
        pattern: support of the ``(O, I)`` weight.
        inner: the part of it that the result and the gradient of ``x`` use; the gradient of ``values`` covers them all.
            None means all of it.

    Returns:
        ``(..., O)``.  Under ``torch.autocast`` the computation is done, and returned, in float32.

    Raises:
        UsageError: the last dimension of ``x`` is not ``I``, or ``values`` do not belong to ``pattern``.
    """
    if x.dim() < 1 or x.shape[-1] != pattern.row_length:
        raise UsageError(f"sparse_linear: expected (..., {pattern.row_length}) features, got shape {tuple(x.shape)}")
    if under_autocast(x):
        with torch.autocast(x.device.type, enabled=False):
            return sparse_linear(*as_float32(x, values, bias), pattern, inner)
    check_operands(x, values, bias, pattern, inner)
    if not _native.serves(x, values):
        return reference.linear(x, values, bias, pattern, inner)
    flat = x.reshape(-1, pattern.row_length, 1, 1)
    y = _native.sparse_conv2d(flat, values, bias, pattern, _ONE_PIXEL, inner)
    return y.reshape(*x.shape[:-1], pattern.shape[0])


def sparse_conv2d(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: PackedPattern,
    geometry: ConvGeometry,
    inner: InnerPattern | None = None,
) -> Tensor:
    """2-D cross-correlation (what torch calls convolution) with only the live weights stored.

    Args:
        x: ``(N, C, H, W)`` in any strides; the result follows its memory format (NCHW or channels_last).
        values: live weights ``(nnz,)`` in the order of ``pattern``; its gradient has the same shape.
        bias: ``(O,)`` or None.
        pattern: support of the ``(O, C/groups, KH, KW)`` weight.
        geometry: kernel, stride, padding, dilation, groups and the input's size, which must equal ``(H, W)``.
        inner: as in :func:`sparse_linear`.

    Returns:
        ``(N, O, OH, OW)``.  Under ``torch.autocast`` the computation is done, and returned, in float32.

    Raises:
        UsageError: shapes do not fit each other.
    """
    check_geometry(x, pattern, geometry)
    if under_autocast(x):
        with torch.autocast(x.device.type, enabled=False):
            return sparse_conv2d(*as_float32(x, values, bias), pattern, geometry, inner)
    check_operands(x, values, bias, pattern, inner)
    if not _native.serves(x, values):
        return reference.conv2d(x, values, bias, pattern, geometry, inner)
    return _native.sparse_conv2d(x, values, bias, pattern, geometry, inner)


def live_linear(x: Tensor, weight: Tensor, bias: Tensor | None, pattern: PackedPattern) -> Tensor:
    """``F.linear(x, weight, bias)`` for a dense ``weight`` that is zero outside ``pattern``, which is not looked at.

    Result and gradient of the input come from the sparse kernels, the gradient of ``weight`` ``(O, I)`` is dense and
    complete.  Arguments otherwise as :func:`sparse_linear`, and so the errors
    (UsageError).
    """
    if under_autocast(x):
        with torch.autocast(x.device.type, enabled=False):
            x, weight, bias = as_float32(x, weight, bias)
            return live_linear(x, weight, bias, pattern)
    if not _native.serves(x, weight):
        return F.linear(x, weight, bias)
    if x.dim() < 1 or x.shape[-1] != pattern.row_length:
        raise UsageError(f"live_linear: expected (..., {pattern.row_length}) features, got shape {tuple(x.shape)}")
    values = pattern.pack(weight.detach())
    check_operands(x, values, bias, pattern)
    flat = x.reshape(-1, pattern.row_length, 1, 1)
    y = _native.sparse_conv2d(flat, values, bias, pattern, _ONE_PIXEL, weight=weight)
    return y.reshape(*x.shape[:-1], pattern.shape[0])


def live_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, pattern: PackedPattern, geometry: ConvGeometry
) -> Tensor:
    """:func:`sparse_conv2d` of a dense ``weight`` that is zero outside ``pattern``, with its complete gradient.

    See :func:`live_linear`; ``weight`` has the shape of ``pattern``.
    """
    if under_autocast(x):
        with torch.autocast(x.device.type, enabled=False):
            x, weight, bias = as_float32(x, weight, bias)
            return live_conv2d(x, weight, bias, pattern, geometry)
    check_geometry(x, pattern, geometry)
    if not _native.serves(x, weight):
        top, bottom, left, right = geometry.padding
        x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, weight, bias, geometry.stride, 0, geometry.dilation, geometry.groups)
    values = pattern.pack(weight.detach())
    check_operands(x, values, bias, pattern)
    return _native.sparse_conv2d(x, values, bias, pattern, geometry, weight=weight)


def sparse_conv1d(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: PackedPattern,
    geometry: ConvGeometry,
    inner: InnerPattern | None = None,
) -> Tensor:
    """1-D cross-correlation: ``x`` ``(N, C, L)``, ``geometry`` with one row; returns ``(N, O, OL)``.

    Raises:
        UsageError: shapes do not fit each other.
    """
    if x.dim() != 3:
        raise UsageError(f"sparse_conv1d: expected (N, C, L), got shape {tuple(x.shape)}")
    within = None if inner is None else InnerPattern(_with_a_row(inner.pattern), inner.positions)
    return sparse_conv2d(x.unsqueeze(2), values, bias, _with_a_row(pattern), geometry, within).squeeze(2)


def _with_a_row(pattern: PackedPattern) -> PackedPattern:
    """The pattern of a 1-D kernel as that of a 2-D kernel of one row; what it remembers stays with ``pattern``."""
    flat = PackedPattern((*pattern.shape[:2], 1, *pattern.shape[2:]), pattern.row_ptr, pattern.indices)
    object.__setattr__(flat, "_memory", pattern.__dict__.setdefault("_memory_2d", {}))
    return flat

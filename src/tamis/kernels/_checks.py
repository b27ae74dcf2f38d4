"""Whether the operands of a sparse function fit each other; native operations are called with nothing else."""

from __future__ import annotations

from torch import Tensor

from tamis.errors import UsageError
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._inner import InnerPattern
from tamis.kernels._pattern import PackedPattern


def check_operands(
    x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, inner: InnerPattern | None = None
) -> None:
    if inner is not None and inner.pattern.shape != pattern.shape:
        raise UsageError(f"the inner pattern has shape {inner.pattern.shape}, the stored one {pattern.shape}")
    if values.shape != (pattern.nnz,):
        raise UsageError(f"expected {pattern.nnz} packed values, got a tensor of shape {tuple(values.shape)}")
    if bias is not None and bias.shape != (pattern.shape[0],):
        raise UsageError(f"expected a bias of shape ({pattern.shape[0]},), got {tuple(bias.shape)}")
    if bias is not None and bias.dtype != values.dtype:
        raise UsageError(f"the bias is {bias.dtype} but the packed weight is {values.dtype}")
    if x.dtype != values.dtype:
        raise UsageError(
            f"input is {x.dtype} but the packed weight is {values.dtype}; convert the input, or the model with .to()"
        )


def check_geometry(x: Tensor, pattern: PackedPattern, geometry: ConvGeometry) -> None:
    if x.dim() != 4 or x.shape[1] * geometry.taps != pattern.row_length * geometry.groups:
        channels = pattern.row_length // geometry.taps * geometry.groups
        raise UsageError(f"sparse_conv2d: expected (N, {channels}, H, W), got shape {tuple(x.shape)}")
    if pattern.shape[2:] != geometry.kernel or pattern.shape[0] % geometry.groups:
        raise UsageError(
            f"sparse_conv2d: a weight of shape {pattern.shape} does not fit a kernel of {geometry.kernel} taps in "
            f"{geometry.groups} groups"
        )
    if x.shape[2:] != geometry.size:
        raise UsageError(f"sparse_conv2d: geometry is for {geometry.size} pixels, the input has {tuple(x.shape[2:])}")

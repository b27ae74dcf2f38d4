"""The plain-torch twin of every native operation: unpack, compute densely, keep what is live.

Used with ``TAMIS_NATIVE=0``, for other dtypes and devices, where no native library was built, and as the dense side of
the measured choice.  Differentiable by torch itself.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._inner import InnerPattern
from tamis.kernels._pattern import PackedPattern


def linear(
    x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, inner: InnerPattern | None = None
) -> Tensor:
    """``x W^T + b``; ``x`` ``(..., I)``, ``values`` ``(nnz,)``, ``bias`` ``(O,)`` or None; returns ``(..., O)``."""
    return F.linear(x, forward_weight(values, pattern, inner), bias)


def conv2d(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: PackedPattern,
    geometry: ConvGeometry,
    inner: InnerPattern | None = None,
) -> Tensor:
    """Cross-correlation of ``x`` ``(N, C, H, W)`` with the unpacked weight; returns ``(N, O, OH, OW)``."""
    dense = forward_weight(values, pattern, inner)
    if _is_linear(geometry):
        weight = dense.reshape(pattern.shape[0], pattern.row_length)
        return F.linear(x[:, :, 0, 0], weight, bias)[:, :, None, None]
    weight = dense.reshape(pattern.shape[0], pattern.row_length // geometry.taps, *geometry.kernel)
    top, bottom, left, right = geometry.padding
    if top == bottom and left == right:
        return F.conv2d(x, weight, bias, geometry.stride, (top, left), geometry.dilation, geometry.groups)
    return F.conv2d(
        F.pad(x, (left, right, top, bottom)), weight, bias, geometry.stride, 0, geometry.dilation, geometry.groups
    )


def forward_weight(values: Tensor, pattern: PackedPattern, inner: InnerPattern | None) -> Tensor:
    """The dense weight of the forward pass; with ``inner`` its gradient reaches all stored values nevertheless."""
    if inner is None:
        return pattern.unpack(values)
    among = inner.among(pattern).to(values.device)
    # Outside the inner pattern the value is exactly 0 and the derivative 1.
    return pattern.unpack(torch.where(among, values, values - values.detach()))


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
    if geometry.kernel == (1, 1) and geometry.stride != (1, 1):
        # The oneDNN of PyTorch 2.13 writes past its memory for channels_last, few channels and several threads.
        x, geometry = _pick_pixels(x, geometry)
    return _dense_backward(grad, x, grad.new_empty(1).expand(shape), geometry, (False, True))[1]


def transpose_pattern(
    row_ptr: Tensor, indices: Tensor, geometry: ConvGeometry, channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The live weights ordered for the gradient of the input.

    A stride of ``sh x sw`` splits the input into ``sh * sw`` phases; each tap of the kernel touches exactly one of
    them.  Row ``phase * channels + channel`` of the result lists what that input channel receives in that phase.

    Args:
        row_ptr: int64 ``(O + 1,)`` of the pattern.
        indices: int32 ``(nnz,)`` of the pattern.
        geometry: kernel, stride, padding, dilation and groups.
        channels: number of input channels, all groups together.

    Returns:
        ``row_ptr`` int64 ``(phases * channels + 1,)``; ``indices`` int32 ``(nnz,)``, output channel inside the group
        times taps plus tap, ascending inside a row; ``source`` int32 ``(nnz,)``, position in the packed values.
    """
    outputs = row_ptr.numel() - 1
    taps, per_group = geometry.taps, max(outputs // geometry.groups, 1)
    rows = torch.repeat_interleave(torch.arange(outputs), row_ptr.diff())
    inside = indices.to(torch.int64)
    channel = inside // taps + rows // per_group * (channels // geometry.groups)
    key = geometry.phase_of_tap()[inside % taps] * channels + channel
    # A stable sort keeps (output, tap) ascending inside each row of the result.
    source = torch.argsort(key, stable=True)
    t_row_ptr = torch.zeros(geometry.phases * channels + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(key, minlength=geometry.phases * channels), 0, out=t_row_ptr[1:])
    return t_row_ptr, (rows % per_group * taps + inside % taps)[source].to(torch.int32), source.to(torch.int32)


def _is_linear(geometry: ConvGeometry) -> bool:
    # A linear layer comes as a 1 x 1 convolution of 1 x 1 pictures; torch's matrix product is the fair dense side.
    return geometry == ConvGeometry()


def _pick_pixels(x: Tensor, geometry: ConvGeometry) -> tuple[Tensor, ConvGeometry]:
    """What a kernel of one tap with strides reads, and the convolution of these pixels without strides."""
    top, bottom, left, right = geometry.padding
    down, across = geometry.stride
    picked = F.pad(x, (left, right, top, bottom))[:, :, ::down, ::across]
    return picked, ConvGeometry(size=geometry.output_size, groups=geometry.groups)


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


def norm_act(
    y: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    residual: Tensor | None,
    activation: str,
) -> Tensor:
    """Batch norm, residual and activation (``"none"``, ``"relu"``, ``"relu6"``) one after the other."""
    z = F.batch_norm(y, running_mean, running_var, weight, bias, training, momentum, eps)
    if residual is not None:
        z = z + residual
    if activation == "none":
        return z
    return F.relu(z) if activation == "relu" else F.relu6(z)

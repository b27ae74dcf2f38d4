"""The native operations: loading, fakes for tracing, and the autograd node around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tamis.errors import UsageError
from tamis.kernels import reference
from tamis.kernels._extension import why_not
from tamis.kernels._format import empty_in_format, nearest_format
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._pattern import PackedPattern
from tamis.kernels.choose import Direction, choices

# The values of csrc/tiling.h's Layout; tests force each, users get the automatic one.
LAYOUTS = {"automatic": 0, "columns": 1, "images": 2}
_layout = LAYOUTS["automatic"]


def native_available() -> bool:
    """Whether the native kernels are loaded (False with ``TAMIS_NATIVE=0`` or without a built extension)."""
    return why_not is None


def available_isas() -> tuple[str, ...]:
    """Instruction sets that this build contains and this CPU supports, best first; empty without native kernels."""
    return tuple(torch.ops.tamis.isas().split(",")) if native_available() else ()


def isa() -> str:
    """The instruction set in use, ``"reference"`` without native kernels; ``TAMIS_ISA`` chooses it at start."""
    return torch.ops.tamis.isa() if native_available() else "reference"


def set_isa(name: str) -> None:
    """Use the kernels of another instruction set from the next call on.

    Raises:
        UsageError: this CPU or this build does not have it.
    """
    if not native_available() or not torch.ops.tamis.set_isa(name):
        raise UsageError(f"instruction set {name!r} is not available; choose one of {available_isas()}")


def serves(x: Tensor, values: Tensor) -> bool:
    """Whether the native kernels can run this input: float32 on the CPU, fewer than 2**31 live weights."""
    return (
        why_not is None
        and x.dtype == values.dtype == torch.float32
        and x.device.type == values.device.type == "cpu"
        and values.numel() < 2**31
    )


def sparse_conv2d(
    x: Tensor,
    values: Tensor,
    bias: Tensor | None,
    pattern: PackedPattern,
    geometry: ConvGeometry,
    weight: Tensor | None = None,
) -> Tensor:
    """The native convolution with gradients; arguments are those of :func:`tamis.kernels.sparse_conv2d`, checked.

    With ``weight``, the dense weight that ``values`` were detached from, its gradient is computed in full.
    """
    key = "" if torch.compiler.is_compiling() else choices.key(x, pattern, geometry, isa())
    values, bias = values.contiguous(), None if bias is None else bias.contiguous()
    return _SparseConv.apply(x, values, bias, pattern.row_ptr, pattern.indices, pattern, geometry, key, weight)


def conv2d_without_gradients(
    x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, geometry: ConvGeometry,
    residual: Tensor | None, relu: bool,
) -> Tensor:  # fmt: skip
    """``activation(convolution + bias + residual)``; ``residual`` has the result's shape and format."""
    key = choices.key(x, pattern, geometry, isa())

    def native() -> Tensor:
        return torch.ops.tamis.conv_forward(
            x, values, bias, pattern.row_ptr, pattern.indices, geometry.as_list(), _layout, residual, relu
        )

    def dense() -> Tensor:
        y = reference.conv2d(x, values, bias, pattern, geometry)
        y = y if residual is None else y + residual
        return y.relu() if relu else y

    return choices.run(key, Direction.FORWARD, native, dense)


class _SparseConv(torch.autograd.Function):
    """Forward, gradient of the input and gradient of the live weights, each native or dense as measured.

    The gradient of a dense ``weight``, where one is given, is always computed densely.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None, row_ptr: Tensor, indices: Tensor,
                pattern: PackedPattern, geometry: ConvGeometry, key: str, weight: Tensor | None) -> Tensor:  # fmt: skip
        needs_x, needs_values = ctx.needs_input_grad[0], ctx.needs_input_grad[1] or ctx.needs_input_grad[8]
        # What nobody needs is not kept: a frozen weight needs no input, a first layer no weight.
        ctx.save_for_backward(x if needs_values else None, values if needs_x else None, row_ptr, indices)
        ctx.pattern, ctx.geometry, ctx.key = pattern, geometry, key
        ctx.channels = x.shape[1]

        def native() -> Tensor:
            return torch.ops.tamis.conv_forward(x, values, bias, row_ptr, indices, geometry.as_list(), _layout)

        return choices.run(key, Direction.FORWARD, native, lambda: reference.conv2d(x, values, bias, pattern, geometry))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, values, row_ptr, indices = ctx.saved_tensors
        geometry, pattern, key = ctx.geometry, ctx.pattern, ctx.key
        shape = (pattern.shape[0], pattern.row_length // geometry.taps, *geometry.kernel)
        grad_x = grad_values = grad_bias = grad_weight = None
        if ctx.needs_input_grad[0]:
            transposed = _transposed(row_ptr, indices, pattern, geometry, ctx.channels)
            grad_x = choices.run(
                key,
                Direction.GRAD_INPUT,
                lambda: torch.ops.tamis.conv_grad_input(
                    grad, values, *transposed, geometry.as_list(), ctx.channels, _layout
                ),
                lambda: reference.conv2d_grad_input(grad, pattern.unpack(values).reshape(shape), geometry),
            )
        if ctx.needs_input_grad[1]:
            grad_values = choices.run(
                key,
                Direction.GRAD_WEIGHT,
                lambda: torch.ops.tamis.conv_grad_values(grad, x, row_ptr, indices, geometry.as_list(), _layout),
                lambda: pattern.pack(reference.conv2d_grad_weight(grad, x, shape, geometry).reshape(pattern.shape)),
            )
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3))
        if ctx.needs_input_grad[8]:
            grad_weight = reference.conv2d_grad_weight(grad, x, shape, geometry).reshape(pattern.shape)
        return grad_x, grad_values, grad_bias, None, None, None, None, None, grad_weight


def _transposed(
    row_ptr: Tensor, indices: Tensor, pattern: PackedPattern, geometry: ConvGeometry, channels: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The pattern ordered for the gradient of the input (see :func:`tamis.kernels.reference.transpose_pattern`)."""

    def build() -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.tamis.transpose_pattern(row_ptr, indices, geometry.as_list(), channels)

    # A compiled graph must not remember: it is used again with the arrays of other masks.
    if torch.compiler.is_compiling():
        return build()
    return pattern.remember((geometry.stride, geometry.dilation, geometry.padding, geometry.groups), build)


def _like(source: Tensor, shape: tuple[int, int, int, int]) -> Tensor:
    return empty_in_format(source, shape, nearest_format(source))


if why_not is None:

    @torch.library.register_fake("tamis::conv_forward")
    def _(x, values, bias, row_ptr, indices, geometry, layout, residual=None, relu=False):
        return _like(x, (x.shape[0], row_ptr.shape[0] - 1, geometry[2], geometry[3]))

    @torch.library.register_fake("tamis::conv_grad_input")
    def _(grad, values, row_ptr, indices, source, geometry, channels, layout):
        return _like(grad, (grad.shape[0], channels, geometry[0], geometry[1]))

    @torch.library.register_fake("tamis::transpose_pattern")
    def _(row_ptr, indices, geometry, channels):
        rows = geometry[6] * geometry[7] * channels
        return row_ptr.new_empty((rows + 1,)), indices.new_empty(indices.shape), indices.new_empty(indices.shape)

    @torch.library.register_fake("tamis::conv_grad_values")
    def _(grad, x, row_ptr, indices, geometry, layout):
        return grad.new_empty((indices.shape[0],))

"""The native operations: loading, fakes for tracing, and the autograd node around them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tamis.errors import UsageError
from tamis.kernels import reference
from tamis.kernels._autocast import outside_autocast
from tamis.kernels._extension import why_not
from tamis.kernels._format import empty_in_format, nearest_format
from tamis.kernels._geometry import ConvGeometry
from tamis.kernels._inner import InnerPattern
from tamis.kernels._pattern import PackedPattern
from tamis.kernels.choose import Direction, choices

# The values of csrc/tiling.h's Layout; tests force each, users get the automatic one.
LAYOUTS = {"automatic": 0, "columns": 1, "images": 2}
_layout = LAYOUTS["automatic"]
_isa: str | None = None  # what the native side said last, asked again after set_isa


def native_available() -> bool:
    """Whether the native kernels are loaded (False with ``TAMIS_NATIVE=0`` or without a built extension)."""
    return why_not is None


def available_isas() -> tuple[str, ...]:
    """Instruction sets that this build contains and this CPU supports, best first; empty without native kernels."""
    return tuple(torch.ops.tamis.isas().split(",")) if native_available() else ()


def isa() -> str:
    """The instruction set in use, ``"reference"`` without native kernels; ``TAMIS_ISA`` chooses it at start."""
    global _isa
    if _isa is None:
        _isa = torch.ops.tamis.isa() if native_available() else "reference"
    return _isa


def set_isa(name: str) -> None:
    """Use the kernels of another instruction set from the next call on.

    Raises:
        UsageError: this CPU or this build does not have it.
    """
    global _isa
    _isa = None
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
    x: Tensor, values: Tensor, bias: Tensor | None, pattern: PackedPattern, geometry: ConvGeometry,
    inner: InnerPattern | None = None, weight: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The native convolution with gradients; arguments are those of :func:`tamis.kernels.sparse_conv2d`, checked.

    With ``weight``, the dense weight that ``values`` were detached from, its gradient is computed in full.
    """

    def key(of: PackedPattern) -> str:
        return "" if torch.compiler.is_compiling() else choices.key(x, of, geometry, isa())

    values, bias = values.contiguous(), None if bias is None else bias.contiguous()
    outer = (pattern.row_ptr, pattern.indices, pattern)
    if inner is None:
        return _SparseConv.apply(x, values, bias, *outer, geometry, key(pattern), weight)
    within = (inner.positions, inner.pattern.row_ptr, inner.pattern.indices, inner.pattern)
    return _NestedConv.apply(x, values, bias, *outer, *within, geometry, key(inner.pattern), key(pattern))


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
        return _forward(x, values, bias, row_ptr, indices, pattern, geometry, key)

    @staticmethod
    @once_differentiable
    @outside_autocast
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, values, row_ptr, indices = ctx.saved_tensors
        how = (row_ptr, indices, ctx.pattern, ctx.geometry, ctx.key)
        grad_x = grad_values = None
        if ctx.needs_input_grad[0] and ctx.needs_input_grad[1]:
            grad_x, grad_values = _gradients(grad, x, values, *how, ctx.channels)
        elif ctx.needs_input_grad[0]:
            grad_x = _grad_input(grad, values, *how, ctx.channels)
        elif ctx.needs_input_grad[1]:
            grad_values = _grad_values(grad, x, *how)
        grad_bias = grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        grad_weight = None
        if ctx.needs_input_grad[8]:
            shape = _as_conv2d(ctx.pattern, ctx.geometry)
            grad_weight = reference.conv2d_grad_weight(grad, x, shape, ctx.geometry).reshape(ctx.pattern.shape)
        return grad_x, grad_values, grad_bias, None, None, None, None, None, grad_weight


class _NestedConv(torch.autograd.Function):
    """As above with two patterns: forward and gradient of the input by the inner, gradient of the weights by the outer.

    ``values`` and their gradient are those of the outer pattern.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, values: Tensor, bias: Tensor | None,
                row_ptr: Tensor, indices: Tensor, pattern: PackedPattern,
                positions: Tensor, inner_row_ptr: Tensor, inner_indices: Tensor, inner: PackedPattern,
                geometry: ConvGeometry, inner_key: str, key: str) -> Tensor:  # fmt: skip
        needs_x, needs_values = ctx.needs_input_grad[:2]
        live = values.index_select(0, positions)
        ctx.save_for_backward(
            x if needs_values else None, live if needs_x else None, row_ptr, indices, inner_row_ptr, inner_indices
        )
        ctx.pattern, ctx.inner, ctx.geometry, ctx.inner_key, ctx.key = pattern, inner, geometry, inner_key, key
        ctx.channels = x.shape[1]
        return _forward(x, live, bias, inner_row_ptr, inner_indices, inner, geometry, inner_key)

    @staticmethod
    @once_differentiable
    @outside_autocast
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, live, row_ptr, indices, inner_row_ptr, inner_indices = ctx.saved_tensors
        grad_x = grad_values = grad_bias = None
        if ctx.needs_input_grad[0]:
            within = (inner_row_ptr, inner_indices, ctx.inner, ctx.geometry, ctx.inner_key)
            grad_x = _grad_input(grad, live, *within, ctx.channels)
        if ctx.needs_input_grad[1]:
            grad_values = _grad_values(grad, x, row_ptr, indices, ctx.pattern, ctx.geometry, ctx.key)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 2, 3))
        return grad_x, grad_values, grad_bias, *(None,) * 10


def _forward(x: Tensor, values: Tensor, bias: Tensor | None, row_ptr: Tensor, indices: Tensor,
             pattern: PackedPattern, geometry: ConvGeometry, key: str) -> Tensor:  # fmt: skip
    def native() -> Tensor:
        return torch.ops.tamis.conv_forward(x, values, bias, row_ptr, indices, geometry.as_list(), _layout)

    return choices.run(key, Direction.FORWARD, native, lambda: reference.conv2d(x, values, bias, pattern, geometry))


def _grad_input(grad: Tensor, values: Tensor, row_ptr: Tensor, indices: Tensor,
                pattern: PackedPattern, geometry: ConvGeometry, key: str, channels: int) -> Tensor:  # fmt: skip
    transposed = _transposed(row_ptr, indices, pattern, geometry, channels)
    shape = _as_conv2d(pattern, geometry)
    return choices.run(
        key,
        Direction.GRAD_INPUT,
        lambda: torch.ops.tamis.conv_grad_input(grad, values, *transposed, geometry.as_list(), channels, _layout),
        lambda: reference.conv2d_grad_input(grad, pattern.unpack(values).reshape(shape), geometry),
    )


def _grad_values(grad: Tensor, x: Tensor, row_ptr: Tensor, indices: Tensor,
                 pattern: PackedPattern, geometry: ConvGeometry, key: str) -> Tensor:  # fmt: skip
    shape = _as_conv2d(pattern, geometry)
    return choices.run(
        key,
        Direction.GRAD_WEIGHT,
        lambda: torch.ops.tamis.conv_grad_values(grad, x, row_ptr, indices, geometry.as_list(), _layout),
        lambda: pattern.pack(reference.conv2d_grad_weight(grad, x, shape, geometry).reshape(pattern.shape)),
    )


def _gradients(grad: Tensor, x: Tensor, values: Tensor, row_ptr: Tensor, indices: Tensor, pattern: PackedPattern,
               geometry: ConvGeometry, key: str, channels: int) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Both gradients: in one pass where both are sparse, which packs ``grad`` once."""
    if not choices.sparse(key, (Direction.GRAD_INPUT, Direction.GRAD_WEIGHT)):
        how = (row_ptr, indices, pattern, geometry, key)
        grad_x, grad_values = _grad_input(grad, values, *how, channels), _grad_values(grad, x, *how)
        # The very first call has just decided; its result must round as those that follow.
        if not choices.sparse(key, (Direction.GRAD_INPUT, Direction.GRAD_WEIGHT)):
            return grad_x, grad_values
    transposed = _transposed(row_ptr, indices, pattern, geometry, channels)
    return torch.ops.tamis.conv_gradients(grad, x, values, row_ptr, indices, *transposed, geometry.as_list(), _layout)


def _as_conv2d(pattern: PackedPattern, geometry: ConvGeometry) -> tuple[int, int, int, int]:
    return (pattern.shape[0], pattern.row_length // geometry.taps, *geometry.kernel)


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

    @torch.library.register_fake("tamis::conv_gradients")
    def _(grad, x, values, row_ptr, indices, t_row_ptr, t_indices, source, geometry, layout):
        return _like(grad, tuple(x.shape)), grad.new_empty((indices.shape[0],))

    @torch.library.register_fake("tamis::transpose_pattern")
    def _(row_ptr, indices, geometry, channels):
        rows = geometry[6] * geometry[7] * channels
        return row_ptr.new_empty((rows + 1,)), indices.new_empty(indices.shape), indices.new_empty(indices.shape)

    @torch.library.register_fake("tamis::conv_grad_values")
    def _(grad, x, row_ptr, indices, geometry, layout):
        return grad.new_empty((indices.shape[0],))

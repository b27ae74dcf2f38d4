"""Packing and unpacking of one layer, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.kernels import InnerPattern, PackedPattern
from tamis.nn._computed_weight import how_to_store
from tamis.nn._layers import DENSE_OF, SPARSE_OF, keep_from_fused_callers, release_to_fused_callers
from tamis.nn._prunable import is_packed, packing_obstacle
from tamis.nn._state import replace_data


def pack_module(module: nn.Module, mask: Tensor, forward: Tensor | None = None) -> PackedPattern:
    """Turn a dense layer into its packed form, in place; weights outside ``mask`` are dropped.

    With a ``forward`` mask the layer stores the weights of ``mask``, all of them with gradients, but computes its
    result and the gradient of its input with those of ``forward`` alone.

    The parameter object stays (optimizer groups and references hold); its data become ``(nnz,)``, its gradient, if
    any, is packed too.  What an optimizer keeps for the weight, such as momentum, stays dense and fits no more: its
    next step fails, so build the optimizer afterwards.  Do not call it between forward and backward.

    Args:
        module: an ``nn.Linear``, ``nn.Conv1d`` or ``nn.Conv2d`` (not a subclass).
        mask: bool tensor of the weight's shape.
        forward: bool tensor of the weight's shape, nowhere True where ``mask`` is not; None means ``mask``.

    Raises:
        UsageError: the module cannot be packed or is packed already, or a mask does not fit.
    """
    if is_packed(module):
        raise UsageError(f"{type(module).__name__} is packed already; unpack it first")
    if obstacle := packing_obstacle(module):
        raise UsageError(f"cannot pack {type(module).__name__}: {obstacle}")
    layer: Any = module
    if tuple(mask.shape) != tuple(layer.weight.shape):
        raise UsageError(f"mask of shape {tuple(mask.shape)} for a weight of shape {tuple(layer.weight.shape)}")
    pattern = PackedPattern.from_mask(mask)
    inner = None if forward is None else InnerPattern.from_mask(pattern, forward)
    _convert(layer, SPARSE_OF[type(layer)], pattern.pack)
    layer.pattern = pattern
    if inner is not None:
        layer.inner = inner
    return pattern


def unpack_module(module: nn.Module) -> None:
    """Undo :func:`pack_module`, in place: the dense weight of the forward pass, with exact zeros outside its support.

    A layer computes the same before and after; stored weights that its forward pass does not use are lost.  For the
    state of an optimizer see :func:`pack_module`.

    Raises:
        UsageError: the module is not packed, or its weight is computed from others now (``nn.utils.prune``).
    """
    if not is_packed(module):
        raise UsageError(f"{type(module).__name__} is not packed")
    if call := how_to_store(module):
        raise UsageError(
            f"cannot unpack {type(module).__name__}: its weight is computed from others; call {call} first"
        )
    layer: Any = module
    _convert(layer, DENSE_OF[type(layer)], layer.pattern.unpack)
    inner = layer.__dict__.pop("inner", None)
    if inner is not None:
        layer.weight.data.masked_fill_(~inner.pattern.mask().to(layer.weight.device), 0.0)
    del layer.pattern


def _convert(layer: Any, to: type[nn.Module], move: Callable[[Tensor], Tensor]) -> None:
    data = move(layer.weight.detach()).contiguous()
    grad = None if layer.weight.grad is None else move(layer.weight.grad)
    replace_data(layer.weight, data)
    layer.weight.grad = grad
    layer.__class__ = to
    if is_packed(layer):
        keep_from_fused_callers(layer)
    else:
        release_to_fused_callers(layer)

"""Inference: a batch norm folded into the packed convolution before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tamis.kernels import PreparedConv2d, sparse_conv2d_inference
from tamis.nn._layers import SparseConv2d


@dataclass(frozen=True)
class _Folded:
    """A convolution and a norm as one convolution.

    Attributes:
        made_from: what it was made from; another one must be made where this has changed.  None where nothing tells.
        memory: that of the tensors it was made from: while it is held, no other tensor can have their addresses.
        values: the weight, packed or with channels innermost, times the norm's scale.
        bias: what is left of the norm.
        prepared: the convolution for each shape of an input that went through before.
    """

    made_from: tuple[Any, ...] | None
    memory: tuple[Any, ...]
    values: Tensor
    bias: Tensor
    prepared: dict[torch.Size, PreparedConv2d] = field(default_factory=dict)


_MOST_SHAPES = 64
_folded: WeakKeyDictionary[nn.Module, _Folded] = WeakKeyDictionary()  # by batch norm


def can_fold(conv: nn.Module, bn: Any, x: Tensor) -> bool:
    """Whether ``bn(conv(x))`` is one convolution with other weights: no gradients, fixed statistics, a packed layer."""
    if torch.is_grad_enabled() or type(conv) is not SparseConv2d or bn.training:
        return False
    weight, variance = conv._parameters["weight"], bn._buffers["running_var"]
    if bn._buffers["running_mean"] is None or variance is None or weight is None:
        return False
    float32 = torch.float32
    return x.dim() == 4 and x.dtype is float32 and weight.dtype is float32 and variance.dtype is float32


def folded_conv(conv: Any, bn: Any, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    """``activation(bn(conv(x)) + residual)`` in one operation; see :func:`can_fold`."""
    folded = _fold(conv, bn)
    prepared = folded.prepared.get(x.shape)
    if prepared is not None:
        return prepared(x, residual, relu)
    padded, geometry = conv.padded_with_geometry(x)
    operands = (padded, folded.values, folded.bias, conv.forward_pattern, geometry)
    if padded is not x or torch.compiler.is_compiling():
        return sparse_conv2d_inference(*operands, residual=residual, relu=relu)
    if len(folded.prepared) >= _MOST_SHAPES:
        folded.prepared.clear()
    prepared = folded.prepared[x.shape] = PreparedConv2d(*operands)
    return prepared(x, residual, relu)


def can_fold_dense(conv: Any, bn: Any) -> bool:
    """The same for an ``nn.Conv2d`` that is dense, and its float32 input."""
    if torch.is_grad_enabled() or type(conv) is not nn.Conv2d or conv.padding_mode != "zeros" or bn.training:
        return False
    mean, variance = bn._buffers["running_mean"], bn._buffers["running_var"]
    return mean is not None and variance is not None and conv.weight.dtype == variance.dtype == torch.float32


def folded_dense_conv(conv: Any, bn: Any, x: Tensor) -> Tensor:
    """``bn(conv(x))`` in one operation, for an input with channels innermost; see :func:`can_fold_dense`."""
    folded = _fold(conv, bn)
    return F.conv2d(x, folded.values, folded.bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _fold(conv: Any, bn: Any) -> _Folded:
    """The folded weights, made anew when anything changed but through ``tensor.data``, which torch does not count."""
    # Straight from the dictionaries, where nn.Module looks last: this runs for every layer of every inference.
    own, norm, running = conv._parameters, bn._parameters, bn._buffers
    weight, bias, gamma, beta = own["weight"], own["bias"], norm["weight"], norm["bias"]
    mean, variance = running["running_mean"], running["running_var"]
    packed = type(conv) is SparseConv2d
    made_from: tuple[Any, ...] | None
    try:
        made_from = (
            conv.forward_pattern if packed else None, bn.eps, weight.data_ptr(), weight._version,
            mean.data_ptr(), mean._version, variance.data_ptr(), variance._version,
            bias is None or (bias.data_ptr(), bias._version),
            gamma is None or (gamma.data_ptr(), gamma._version), beta is None or (beta.data_ptr(), beta._version),
            conv.stride, conv.dilation, conv.groups, conv.padding_mode, conv.padding, conv.in_channels,
        )  # fmt: skip
    except RuntimeError:  # tensors made in inference mode do not count their changes
        made_from = None
    known = _folded.get(bn)
    if known is None or made_from is None or known.made_from != made_from:
        scale = (variance.double() + bn.eps).rsqrt()
        if gamma is not None:
            scale = scale * gamma.double()
        shift = -mean.double() if bias is None else bias.double() - mean.double()
        new_bias = shift * scale
        if beta is not None:
            new_bias = new_bias + beta.double()
        if packed:
            values = conv.forward_values().double() * scale.repeat_interleave(conv.forward_pattern.row_ptr.diff())
        else:
            values = (weight.double() * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        sources = () if made_from is None else (weight, mean, variance, bias, gamma, beta)
        memory = tuple(t.untyped_storage() for t in sources if t is not None)
        known = _Folded(made_from, memory, values.float(), new_bias.float())
        _folded[bn] = known
    return known

"""Inference: a batch norm folded into the packed convolution before it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from tamis.kernels import sparse_conv2d_inference
from tamis.nn._layers import SparseConv2d

# By batch norm: what the folded weights were made from, and the weights.
_folded: WeakKeyDictionary[nn.Module, tuple[Any, Tensor, Tensor]] = WeakKeyDictionary()


def can_fold(conv: nn.Module, bn: Any, x: Tensor) -> bool:
    """Whether ``bn(conv(x))`` is one convolution with other weights: no gradients, fixed statistics, a packed layer."""
    if torch.is_grad_enabled() or type(conv) is not SparseConv2d or bn.training:
        return False
    weight, variance = conv._parameters["weight"], bn._buffers["running_var"]
    if bn._buffers["running_mean"] is None or variance is None or weight is None:
        return False
    return x.dim() == 4 and x.dtype == weight.dtype == variance.dtype == torch.float32


def folded_conv(conv: Any, bn: Any, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    """``activation(bn(conv(x)) + residual)`` in one operation; see :func:`can_fold`."""
    values, bias = _weights(conv, bn)
    padded, geometry = conv.prepared(x)
    return sparse_conv2d_inference(padded, values, bias, conv.forward_pattern, geometry, residual=residual, relu=relu)


def _weights(conv: Any, bn: Any) -> tuple[Tensor, Tensor]:
    """The packed weight times the norm's scale, and what is left as a bias; made anew when anything changed."""
    # Straight from the dictionaries: nn.Module finds them last, and this runs for every layer of every inference.
    of_conv, of_bn, running = conv._parameters, bn._parameters, bn._buffers
    sources = (
        of_conv["weight"], of_conv["bias"], of_bn["weight"], of_bn["bias"],
        running["running_mean"], running["running_var"],
    )  # fmt: skip
    made_from = (
        id(conv.forward_pattern),
        bn.eps,
        [(t.data_ptr(), t._version) if t is not None else None for t in sources],
    )
    known = _folded.get(bn)
    if known is None or known[0] != made_from:
        scale = (bn.running_var.double() + bn.eps).rsqrt()
        if bn.weight is not None:
            scale = scale * bn.weight.double()
        shift = -bn.running_mean.double() if conv.bias is None else conv.bias.double() - bn.running_mean.double()
        bias = shift * scale
        if bn.bias is not None:
            bias = bias + bn.bias.double()
        values = conv.forward_values().double() * scale.repeat_interleave(conv.forward_pattern.row_ptr.diff())
        known = (made_from, values.float(), bias.float())
        _folded[bn] = known
    return known[1], known[2]

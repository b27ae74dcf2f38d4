"""Inference: a batch norm folded into the packed convolution before it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from tamis.kernels import PreparedConv2d, under_autocast
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
_numbers = itertools.count(1)
_last_step = 0  # a number that no step of any optimizer had before


def can_fold(conv: nn.Module, bn: Any, x: Tensor) -> bool:
    """Whether ``bn(conv(x))`` is one convolution with other weights: no gradients, fixed statistics, a packed layer.

    Under autocast it is not: the norm and what follows have types of their own there.
    """
    if torch.is_grad_enabled() or type(conv) is not SparseConv2d or bn.training or under_autocast(x):
        return False
    weight, variance = conv._parameters["weight"], bn._buffers["running_var"]
    if bn._buffers["running_mean"] is None or variance is None or weight is None:
        return False
    float32 = torch.float32
    return x.dim() == 4 and x.dtype is float32 and weight.dtype is float32 and variance.dtype is float32


def forget_fold_in_training(bn: Any) -> None:
    """Forget the folded weights at a call that may belong to a training step.

    What follows such a call may write through ``tensor.data``, which nothing counts.
    """
    if (torch.is_grad_enabled() or bn.training) and not torch.compiler.is_compiling():
        _folded.pop(bn, None)


def folded_conv(conv: Any, bn: Any, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
    """``activation(bn(conv(x)) + residual)`` in one operation; see :func:`can_fold`."""
    if torch.compiler.is_compiling():  # a graph is used again with other weights: it folds them itself, every time
        convolution, padded = _convolution(conv, x, *_folded_tensors(conv, bn))
    else:
        folded = _fold(conv, bn)
        known = folded.prepared.get(x.shape)
        if known is not None:
            convolution, padded = known, x
        else:
            convolution, padded = _convolution(conv, x, folded.values, folded.bias)
            if padded is x:
                if len(folded.prepared) >= _MOST_SHAPES:
                    folded.prepared.clear()
                folded.prepared[x.shape] = convolution
    if residual is None or convolution.takes(residual):
        return convolution(padded, residual, relu)
    z = convolution(padded) + residual
    return z.relu() if relu else z


def _convolution(conv: Any, x: Tensor, values: Tensor, bias: Tensor) -> tuple[PreparedConv2d, Tensor]:
    """The folded convolution for inputs of the shape of ``x``, and its input: ``x``, padded where kernels do not."""
    padded, geometry = conv.padded_with_geometry(x)
    return PreparedConv2d(padded, values, bias, conv.forward_pattern, geometry), padded


def can_fold_dense(conv: Any, bn: Any) -> bool:
    """The same for an ``nn.Conv2d`` that is dense, and its float32 input."""
    if torch.is_grad_enabled() or type(conv) is not nn.Conv2d or conv.padding_mode != "zeros" or bn.training:
        return False
    mean, variance = bn._buffers["running_mean"], bn._buffers["running_var"]
    return mean is not None and variance is not None and conv.weight.dtype == variance.dtype == torch.float32


def folded_dense_conv(conv: Any, bn: Any, x: Tensor) -> Tensor:
    """``bn(conv(x))`` in one operation, for an input with channels innermost; see :func:`can_fold_dense`."""
    if torch.compiler.is_compiling():
        values, bias = _folded_tensors(conv, bn)
    else:
        folded = _fold(conv, bn)
        values, bias = folded.values, folded.bias
    return F.conv2d(x, values, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _fold(conv: Any, bn: Any) -> _Folded:
    """The folded weights, made anew when anything changed but through ``tensor.data``, which torch does not count.

    Torch does not count what its fused optimizers write either; therefore their steps are counted here.
    """
    # Straight from the dictionaries, where nn.Module looks last: this runs for every layer of every inference.
    own, norm, running = conv._parameters, bn._parameters, bn._buffers
    weight, bias, gamma, beta = own["weight"], own["bias"], norm["weight"], norm["bias"]
    mean, variance = running["running_mean"], running["running_var"]
    packed = type(conv) is SparseConv2d
    made_from: tuple[Any, ...] | None
    try:
        made_from = (
            _last_step, conv.forward_pattern if packed else None, bn.eps, weight.data_ptr(), weight._version,
            mean.data_ptr(), mean._version, variance.data_ptr(), variance._version,
            bias is None or (bias.data_ptr(), bias._version),
            gamma is None or (gamma.data_ptr(), gamma._version), beta is None or (beta.data_ptr(), beta._version),
            conv.stride, conv.dilation, conv.groups, conv.padding_mode, conv.padding, conv.in_channels,
        )  # fmt: skip
    except RuntimeError:  # tensors made in inference mode do not count their changes
        made_from = None
    known = _folded.get(bn)
    if known is None or made_from is None or known.made_from != made_from:
        _count_steps()
        sources = () if made_from is None else (weight, mean, variance, bias, gamma, beta)
        memory = tuple(t.untyped_storage() for t in sources if t is not None)
        known = _Folded(made_from, memory, *_folded_tensors(conv, bn))
        _folded[bn] = known
    return known


def _folded_tensors(conv: Any, bn: Any) -> tuple[Tensor, Tensor]:
    """The weight, packed or with channels innermost, times the norm's scale, and what is left of the norm as a bias."""
    gamma, beta, bias = bn.weight, bn.bias, conv.bias
    mean, variance = bn.running_mean, bn.running_var
    scale = (variance.double() + bn.eps).rsqrt()
    if gamma is not None:
        scale = scale * gamma.double()
    shift = -mean.double() if bias is None else bias.double() - mean.double()
    new_bias = shift * scale
    if beta is not None:
        new_bias = new_bias + beta.double()
    if type(conv) is SparseConv2d:
        pattern = conv.forward_pattern
        of_each = scale.repeat_interleave(pattern.row_ptr.diff(), output_size=pattern.nnz)
        values = conv.forward_values().double() * of_each
    else:
        values = (conv.weight.double() * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
    return values.float(), new_bias.float()


@cache
def _count_steps() -> None:
    """Let every step of every optimizer be counted, from the first folded weights on."""
    register_optimizer_step_post_hook(_count_step)


def _count_step(optimizer: Any, args: Any, kwargs: Any) -> None:
    global _last_step
    _last_step = next(_numbers)

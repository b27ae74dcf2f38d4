"""Packing one layer together with its optimizer state, and back, without changing a bit of either."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, optim

from tamis.methods._optimizer_state import initial_value, per_weight_state
from tamis.nn import pack_module, unpack_module


@torch.no_grad()
def pack_with_state(layer: Any, mask: Tensor, optimizer: optim.Optimizer, gradients: Tensor | None = None) -> None:
    """Turn ``layer`` into its packed form, in place, and pack every optimizer state tensor of the weight's shape.

    The parameter object stays, so the optimizer notices nothing but a smaller tensor.  State of pruned weights is
    dropped; it comes back as the state of a weight that was never trained.

    Args:
        layer: a dense layer that :func:`tamis.nn.can_pack` allows.
        mask: bool tensor of the weight's shape, True where a weight lives.
        optimizer: an element-wise optimizer (:func:`~tamis.methods._optimizer_state.is_elementwise`); it may not hold
            this weight at all.
        gradients: a mask that contains the other; the layer then stores, and trains, the weights of this one.

    Raises:
        UsageError: the layer cannot be packed or a mask does not fit.
    """
    dense_state = per_weight_state(optimizer, layer.weight)
    pattern = pack_module(layer, mask) if gradients is None else pack_module(layer, gradients, mask)
    for key, value in dense_state.items():
        optimizer.state[layer.weight][key] = pattern.pack(value)


@torch.no_grad()
def unpack_with_state(layer: Any, optimizer: optim.Optimizer) -> None:
    """Undo :func:`pack_with_state`: exact zeros outside the support, and there the optimizer state of a new weight.

    Raises:
        UsageError: the layer is not packed.
    """
    pattern = layer.pattern
    packed_state = per_weight_state(optimizer, layer.weight)
    unpack_module(layer)
    for key, value in packed_state.items():
        dense = pattern.unpack(value)
        start = initial_value(optimizer, layer.weight, key)
        if start != 0.0:
            dense.masked_fill_(~pattern.mask(), start)
        optimizer.state[layer.weight][key] = dense

"""Weights rounded to a few bits, to study what that changes; computing stays in floating point."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.nn._convert import densify
from tamis.nn._prunable import prunable_modules


def round_to_bits(weight: Tensor, bits: int) -> Tensor:
    """Symmetric rounding with one scale per output channel: ``s round(w / s)``, ``s = max|w| / (2^(bits-1) - 1)``.

    Args:
        weight: ``(out, ...)``, floating point.
        bits: 2 to 16.

    Returns:
        A new tensor of the same shape and dtype with at most ``2^bits - 1`` values in each channel; zeros stay zeros.

    Raises:
        UsageError: ``bits`` is out of range.

    >>> round_to_bits(torch.tensor([[1.0, 0.6, -0.2]]), 2)
    tensor([[1., 1., -0.]])
    """
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 16:
        raise UsageError(f"bits={bits!r}; expected a whole number from 2 to 16")
    top = 2 ** (bits - 1) - 1
    scale = weight.abs().flatten(1).amax(1) / top
    scale = torch.where(scale > 0, scale, torch.ones_like(scale)).reshape(-1, *[1] * (weight.dim() - 1))
    return (weight / scale).round().clamp(-top, top) * scale


@torch.no_grad()
def quantise_weights(model: nn.Module, bits: int) -> nn.Module:
    """A copy of a model whose convolution and linear weights are rounded to ``bits``; biases and norms stay.

    Packed layers of the copy are dense.  Rounding is as in :func:`round_to_bits`, after training and without data.

    Raises:
        UsageError: ``bits`` is out of range, or the model has no such layer.
    """
    rounded = densify(copy.deepcopy(model))
    layers = prunable_modules(rounded)
    if not layers:
        raise UsageError("the model has no convolution or linear layer; expected at least one to quantise")
    for layer in layers.values():
        layer.weight.copy_(round_to_bits(layer.weight, bits))
    return rounded

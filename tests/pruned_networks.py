"""Networks with zeros in them, for tests that store and send them."""

from __future__ import annotations

import torch
from torch import nn


def pruned_convolutions(model: nn.Module, sparsity: float = 0.8) -> nn.Module:
    """The model, its convolutions with about this share of zeros."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.mul_(torch.rand_like(parameter) > sparsity)
    return model

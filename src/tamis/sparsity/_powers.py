"""Powerpropagation: weights as signed powers of what is trained.

Schwarz, Jayakumar, Pascanu, Latham, Teh, "Powerpropagation: A sparsity inducing weight reparameterisation" (NeurIPS
2021).  Exponent 1 is the identity, bit for bit, in all three functions.  They work in place on their
own temporaries, so they are not for autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor


def signed_power(latent: Tensor, alpha: float) -> Tensor:
    """``latent * |latent| ** (alpha - 1)``, of any shape; rising, so magnitudes are ranked as those of ``latent``."""
    return _magnitude_power(latent, alpha - 1.0).mul_(latent)


def signed_root(weight: Tensor, alpha: float) -> Tensor:
    """The latent weights, of any shape, whose :func:`signed_power` is ``weight``: ``sign(w) * |w| ** (1 / alpha)``."""
    return torch.copysign(weight.abs().pow(1.0 / alpha), weight)


def signed_power_gradient(latent: Tensor, alpha: float, upstream: Tensor) -> Tensor:
    """``upstream * alpha * |latent| ** (alpha - 1)``, any shape; 0 where the latent weight is 0 and ``alpha > 1``."""
    return _magnitude_power(latent, alpha - 1.0).mul_(alpha).mul_(upstream)


def _magnitude_power(tensor: Tensor, exponent: float) -> Tensor:
    magnitude = tensor.detach().abs()
    return magnitude if exponent == 1.0 else magnitude.pow(exponent)  # pow does not know that 1 needs no work

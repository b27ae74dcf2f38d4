"""Powerpropagation, a reparameterisation for any magnitude method.

Schwarz, Jayakumar, Pascanu, Latham, Teh, "Powerpropagation: A sparsity inducing weight reparameterisation" (NeurIPS
2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from tamis.errors import UsageError
from tamis.sparsity import signed_power, signed_power_gradient, signed_root


@dataclass(frozen=True)
class PowerPropagation:
    """Train ``theta`` where the model computes with ``w = theta |theta| ** (alpha - 1)``.

    Give it to a magnitude method as ``reparameterise=PowerPropagation(2.0)``.  Large weights then get larger gradients
    than small ones, so more weights stay near 0 and pruning by magnitude removes less.  The model starts with the
    weights that it has: ``theta`` is their signed root.  Selection by ``|w|`` ranks as ``|theta|`` does.  Weight decay,
    momentum and learning rate act on ``theta``.

    A weight that is exactly 0 gets no gradient while ``alpha > 1``, so pruned weights that return as zeros would stay
    there; AC/DC therefore wants ``ReturnAsSaved()`` or ``ReturnAtRandom()`` with it.

    Attributes:
        alpha: exponent, at least 1; 1 is plain training, bit for bit.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.alpha < math.inf:
            raise UsageError(f"PowerPropagation needs a finite alpha of at least 1; got {self.alpha!r}")

    @property
    def zeros_are_stuck(self) -> bool:
        """Whether a weight that is exactly 0 never moves again."""
        return self.alpha > 1.0

    def effective(self, name: str, latent: Tensor) -> Tensor:
        """The weights ``w`` that the model computes with, of the shape of ``theta``."""
        return signed_power(latent, self.alpha)

    def latent(self, name: str, effective: Tensor) -> Tensor:
        """``theta`` for given ``w``, of the same shape."""
        return signed_root(effective, self.alpha)

    def gradient(self, name: str, latent: Tensor, upstream: Tensor) -> Tensor:
        """Gradient of ``theta`` from that of ``w``, of the same shape."""
        return signed_power_gradient(latent, self.alpha, upstream)

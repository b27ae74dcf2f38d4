"""A pattern inside another one: the weights that the forward pass uses among those that get a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError
from tamis.kernels._pattern import PackedPattern


@dataclass(frozen=True, eq=False)
class InnerPattern:
    """The part of a layer's stored weights that its forward pass and the gradient of its input compute with.

    The layer stores the weights of an outer pattern, and the gradient of the weights covers all of them; methods with a
    forward mask A inside a gradient mask B (Top-KAST) need both.  Make one with :meth:`from_mask`.

    Attributes:
        pattern: :class:`PackedPattern` of A, of the outer pattern's shape.
        positions: int64 ``(nnz of A,)``, strictly ascending; where each weight of A lies among the values of B.
    """

    pattern: PackedPattern
    positions: Tensor

    @classmethod
    def from_mask(cls, outer: PackedPattern, mask: Tensor) -> InnerPattern:
        """The part of ``outer`` where ``mask`` (bool, of the weight's shape) is True.

        Raises:
            UsageError: the mask has another shape, or a True where the outer pattern has no weight.
        """
        if tuple(mask.shape) != outer.shape:
            raise UsageError(f"mask of shape {tuple(mask.shape)} inside a pattern of shape {outer.shape}")
        pattern = PackedPattern.from_mask(mask)
        stored, wanted = outer.flat_positions(), pattern.flat_positions()
        positions = torch.searchsorted(stored, wanted)
        found = positions < stored.numel()
        found[found.clone()] = stored[positions[found]] == wanted[found]
        strays = int((~found).sum())
        if strays:
            raise UsageError(f"the forward mask has {strays} weights outside the gradient mask, which must contain it")
        return cls(pattern, positions)

    def take(self, values: Tensor) -> Tensor:
        """The values of A ``(nnz of A,)`` among those of B (differentiable copy)."""
        return values.index_select(0, self.positions.to(values.device))

    def among(self, outer: PackedPattern) -> Tensor:
        """Bool ``(nnz of B,)``: which of the outer pattern's values belong to A."""
        mask = torch.zeros(outer.nnz, dtype=torch.bool)
        mask[self.positions] = True
        return mask

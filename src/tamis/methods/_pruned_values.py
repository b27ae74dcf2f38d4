"""The values that weights had when they were pruned: the unmasked copy of Zhu and Gupta, and AC/DC's restore option."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class PrunedValues:
    """Last values of pruned weights, by layer, as dense tensors of the weights' shapes.

    Stored only for methods that ask for it: it costs one dense copy of the governed weights.
    """

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}

    @torch.no_grad()
    def remember(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
        """Keep the present values of what is about to be pruned.

        Args:
            weights: dense weights with pruned values filled in (:meth:`fill`).
            masks: bool masks about to be put in force, True where a weight lives.
        """
        self._values = {name: weight.masked_fill(masks[name], 0.0) for name, weight in weights.items()}

    def fill(self, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Copies of ``weights`` with the remembered values where ``masks`` are False (all live where there is none)."""
        if not masks or not self._values:
            return {name: weight.clone() for name, weight in weights.items()}
        return {
            name: torch.where(masks[name], weight, self._values[name].to(weight)) for name, weight in weights.items()
        }

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint: ``pruned/name`` of the weight's shape and dtype."""
        return {f"pruned/{name}": value for name, value in self._values.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what :meth:`tensors` returned; other names are ignored."""
        self._values = {
            name.removeprefix("pruned/"): value.clone() for name, value in tensors.items() if name.startswith("pruned/")
        }

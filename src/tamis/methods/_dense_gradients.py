"""The dense gradients of one optimizer step, however the training loop treats them before the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class DenseGradients:
    """Gradients of all weights of the governed layers, also after somebody has masked them for clipping.

    Gradient accumulation needs nothing here: the gradients are those that the optimizer step would see.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}

    @torch.no_grad()
    def keep(self, layers: Mapping[str, Any], masks: Mapping[str, Tensor]) -> None:
        """Remember the gradients that are about to be masked; call it before the masking."""
        self._kept = {name: gradient.clone() for name, gradient in self._found(layers, masks).items()}

    @torch.no_grad()
    def take(self, layers: Mapping[str, Any], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The dense gradients by layer, read-only, without layers that have none; what was kept is forgotten."""
        found = self._found(layers, masks)
        self._kept = {}
        return found

    def _found(self, layers: Mapping[str, Any], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = {}
        for name, layer in layers.items():
            grad = layer.weight.grad
            if grad is None or grad.shape != masks[name].shape:
                continue
            # All zero outside the mask: these were masked already, and the kept ones are what they were before.
            masked = name in self._kept and not bool(grad.masked_fill(masks[name], 0.0).any())
            found[name] = self._kept[name] if masked else grad.detach()
        return found

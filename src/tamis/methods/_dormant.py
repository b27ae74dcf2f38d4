"""Weights that exist but take no part in the forward pass: what Top-KAST keeps outside its forward mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tamis.nn import is_packed
from tamis.sparsity import TopKastMasks


class DormantWeights:
    """The latent values of all weights outside the forward masks, while the layers show exact zeros there.

    A packed layer stores its trainable latent weights itself; here are then the frozen ones.  For a masked layer both
    are here, and :meth:`show` puts them into the parameter for the moment in which the optimizer works on it.
    """

    def __init__(self) -> None:
        self.masks: dict[str, TopKastMasks] = {}
        self._values: dict[str, Tensor] = {}
        self._shown = False

    @torch.no_grad()
    def remember(self, weights: Mapping[str, Tensor], masks: Mapping[str, TopKastMasks]) -> None:
        """Keep the latent part of ``weights`` (dense, by layer) for these masks, which are about to be put in force."""
        self.masks = dict(masks)
        self._values = {name: weight.masked_fill(masks[name].forward, 0.0) for name, weight in weights.items()}
        self._shown = False

    @torch.no_grad()
    def all(self, layers: Mapping[str, Any]) -> dict[str, Tensor]:
        """The dense weights of all layers as they would be without any mask; new tensors."""
        whole = {}
        for name, layer in layers.items():
            if not is_packed(layer):
                whole[name] = layer.weight.detach().clone() if self._shown else layer.weight + self._values[name]
                continue
            whole[name] = self._values[name].clone()
            whole[name].view(-1)[layer.pattern.flat_positions()] = layer.weight.detach()
        return whole

    @torch.no_grad()
    def show(self, layers: Mapping[str, Any]) -> None:
        """Put the latent values of masked layers into their parameters, which are zero there."""
        if not self._shown:
            for name, layer in layers.items():
                if not is_packed(layer):
                    layer.weight.add_(self._values[name])
        self._shown = True

    @torch.no_grad()
    def take_back(self, layers: Mapping[str, Any]) -> None:
        """Undo :meth:`show`: keep what was trained of the latent values, put zeros in their place."""
        if self._shown:
            for name, layer in layers.items():
                if not is_packed(layer):
                    masks, trained = self.masks[name], layer.weight.masked_fill(self.masks[name].forward, 0.0)
                    # What gets no gradient is frozen, whatever momentum and weight decay made of it.
                    self._values[name] = torch.where(masks.backward, trained, self._values[name])
                    layer.weight.masked_fill_(~masks.forward, 0.0)
        self._shown = False

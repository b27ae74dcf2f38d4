"""Weights that the optimizer trains, where the model computes with something made from them.

Between optimizer steps a parameter holds the *effective* weights, so that forward passes, evaluation, ``state_dict``,
copies and exports need not know of the others.  Around the optimizer's update it holds the *latent* ones, and its
gradient is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from tamis.errors import UsageError


class Reparameterisation(Protocol):
    """How effective weights are made from latent ones; all tensors have the shape that the parameter has now."""

    def effective(self, name: str, latent: Tensor) -> Tensor:
        """The weights that layer ``name`` computes with."""

    def latent(self, name: str, effective: Tensor) -> Tensor:
        """Latent weights that give ``effective``, for weights that were written from outside."""

    def gradient(self, name: str, latent: Tensor, upstream: Tensor) -> Tensor:
        """Gradient of the latent weights from ``upstream``, that of the effective ones."""


class LatentWeights:
    """The latent weights of the governed layers; does nothing without a reparameterisation.

    What is written into a parameter between two steps (``load_state_dict``, zeros of a mask, an edit by hand) is
    noticed by comparison, and becomes the latent weight at the places that differ.  A parameter whose shape changed,
    because its layer was packed or unpacked, is taken over whole.

    Args:
        reparameterisation: None trains what the model computes with, as usual.
    """

    def __init__(self, reparameterisation: Reparameterisation | None = None) -> None:
        self._made = reparameterisation
        self._latent: dict[str, Tensor] = {}

    @torch.no_grad()
    def take(self, layers: Mapping[str, Any], *, as_they_are: bool = False) -> dict[str, Tensor]:
        """The latent weights by layer, up to date with what was written into the parameters; do not write to them.

        Args:
            layers: the governed layers by name.
            as_they_are: where nothing is known yet, the parameter holds latent weights and not effective ones.
        """
        if self._made is None:
            return {}
        for name, layer in layers.items():
            weight, known = layer.weight.detach(), self._latent.get(name)
            if known is None or known.shape != weight.shape:
                self._latent[name] = weight.clone() if as_they_are else self._made.latent(name, weight).clone()
                continue
            effective = self._made.effective(name, known)
            if not torch.equal(effective, weight):
                self._latent[name] = torch.where(effective == weight, known, self._made.latent(name, weight))
        return dict(self._latent)

    @torch.no_grad()
    def to_optimizer(self, layers: Mapping[str, Any], *, gradients: bool = True) -> None:
        """Write the latent weights into the parameters and, unless told otherwise, turn the gradients into theirs."""
        for name, latent in self.take(layers).items():
            assert self._made is not None
            weight = layers[name].weight
            if gradients and weight.grad is not None:
                gradient = self._made.gradient(name, latent, weight.grad)
                if gradient is not weight.grad:
                    weight.grad.copy_(gradient)
            weight.copy_(latent)

    @torch.no_grad()
    def to_model(self, layers: Mapping[str, Any]) -> None:
        """Take the latent weights back from the parameters, and write the effective ones."""
        if self._made is not None:
            for name, layer in layers.items():
                known = self._latent.get(name)
                if known is None or known.shape != layer.weight.shape:
                    self._latent[name] = layer.weight.detach().clone()
                else:
                    known.copy_(layer.weight)
            self.show(layers)

    @torch.no_grad()
    def show(self, layers: Mapping[str, Any]) -> None:
        """Write the effective weights of the present latent ones into the parameters."""
        if self._made is not None:
            for name, latent in self._latent.items():
                layers[name].weight.copy_(self._made.effective(name, latent))

    def forget(self) -> None:
        """Drop all latent weights."""
        self._latent = {}

    def tensors(self, layers: Mapping[str, Any]) -> dict[str, Tensor]:
        """For a checkpoint: ``latent/name`` of the parameter's present shape and dtype."""
        return {f"latent/{name}": latent.clone() for name, latent in self.take(layers).items()}

    def check(self, tensors: Mapping[str, Tensor], layers: Mapping[str, Any]) -> None:
        """Refuse tensors that :meth:`load` could not take.

        Raises:
            UsageError: the latent weights of a layer are missing.
        """
        missing = [name for name in layers if f"latent/{name}" not in tensors]
        if self._made is not None and missing:
            raise UsageError(
                f"the sparsifier's state lacks the latent weights of {missing}; the checkpoint is incomplete"
            )

    def load(self, tensors: Mapping[str, Tensor], layers: Mapping[str, Any]) -> None:
        """Take back what :meth:`tensors` returned, on the devices of the layers; other names are ignored."""
        if self._made is None:
            return
        self._latent = {
            name: tensors[f"latent/{name}"].to(layer.weight.device, copy=True) for name, layer in layers.items()
        }

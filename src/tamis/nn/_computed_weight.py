"""Weights that torch computes from other parameters: masks of ``nn.utils.prune``, weight norm, parametrizations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm


def how_to_store(layer: nn.Module) -> str:
    """The call that makes a computed weight of ``layer`` a parameter again; empty if it is one or is not known."""
    if parametrize.is_parametrized(layer, "weight"):
        return "torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight')"
    for hook in layer._forward_pre_hooks.values():
        made: Any = hook
        if isinstance(made, prune.BasePruningMethod) and made._tensor_name == "weight":
            return "torch.nn.utils.prune.remove(layer, 'weight')"
        if isinstance(made, WeightNorm) and made.name == "weight":
            return "torch.nn.utils.remove_weight_norm(layer)"
        if isinstance(made, SpectralNorm) and made.name == "weight":
            return "torch.nn.utils.remove_spectral_norm(layer)"
    return ""


@torch.no_grad()
def computed_weight(layer: Any) -> Tensor:
    """The weight that :func:`how_to_store` speaks of, as it is now; nothing that it is computed from changes."""
    if not parametrize.is_parametrized(layer, "weight"):
        return layer.weight
    # a spectral norm goes on in its iteration at every look while it trains
    modes = {module: module.training for module in layer.parametrizations.weight.modules()}
    try:
        layer.parametrizations.weight.eval()
        return layer.weight
    finally:
        for module, training in modes.items():
            module.training = training

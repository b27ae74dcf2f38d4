"""Fixed supports of a model: how sparse they are, and the proof that they were kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import TamisError
from tamis.nn import is_packed, prunable_modules


class RevivedError(TamisError, RuntimeError):
    """Weights that a mask prunes are not zero: the model has silently become denser."""


def weights_of(model: nn.Module, exclude: str = "") -> dict[str, Tensor]:
    """Dense weight by name of every convolution and linear layer but ``exclude``, detached; packed ones unpacked."""
    layers: Mapping[str, Any] = prunable_modules(model)
    return {
        name: (layer.dense_weight() if is_packed(layer) else layer.weight).detach()
        for name, layer in layers.items()
        if name != exclude
    }


@torch.no_grad()
def revived(model: nn.Module, masks: Mapping[str, Tensor]) -> dict[str, int]:
    """How many weights outside its mask are not zero, by layer; layers that kept their mask are left out."""
    weights = weights_of(model)
    found = {name: int(torch.count_nonzero(weights[name].masked_fill(mask, 0))) for name, mask in masks.items()}
    return {name: count for name, count in found.items() if count}


def check_kept(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Refuse a model of which a pruned weight came back.

    Args:
        model: with dense or packed layers.
        masks: bool by layer name, of the weight's shape; True lives.

    Raises:
        RevivedError: a weight outside its mask is not exactly zero; the layer is named.
    """
    found = revived(model, masks)
    if found:
        name, count = next(iter(found.items()))
        raise RevivedError(
            f"{sum(found.values())} pruned weights in {len(found)} layers are not zero any more, such as {count} of "
            f"{name}; something beside the sparsifier writes to the weights"
        )


def held_sparsity(model: nn.Module, masks: Mapping[str, Tensor], head: str) -> float:
    """Share of pruned weights that are zero, over all convolutions and linear layers but the head.

    Zeros inside a mask do not count, so the number before and after training is the same where the mask was kept.

    Args:
        model: with dense or packed layers.
        masks: bool by layer name, of the weight's shape; True lives.
        head: name of the classifier, which does not count.

    Returns:
        A fraction of zeros in [0, 1].
    """
    weights = weights_of(model, head)
    total = sum(weight.numel() for weight in weights.values())
    pruned = sum(int((~mask).sum()) for mask in masks.values()) - sum(revived(model, masks).values())
    return pruned / total if total else 0.0

"""The dense/sparse pair of one AC/DC run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from tamis.methods._state_hooks import show_dense_weight
from tamis.nn import densify
from tamis.sparsity import PairMetrics, pair_metrics


class DensePair(NamedTuple):
    """Two models from one run; ``dense, sparse = sparsifier.pair()`` works.

    Attributes:
        dense: weights at the end of a dense phase.
        sparse: weights of a sparse phase, all layers dense tensors with exact zeros.
    """

    dense: nn.Module
    sparse: nn.Module

    @torch.no_grad()
    def metrics(self, inputs: Tensor, batch_size: int = 256) -> PairMetrics:
        """How far the two models agree on ``inputs`` ``(N, ...)``, in evaluation mode.

        Returns:
            :class:`tamis.sparsity.PairMetrics`: ``top1_agreement`` (fraction), ``mean_kl`` and ``mean_cross_entropy``
            (nats, dense to sparse, of the softmaxes).
        """
        logits = [_logits(model, inputs, batch_size) for model in self]
        return pair_metrics(*logits)


def plain_copy(model: nn.Module, weights: Mapping[str, Tensor] | None = None) -> nn.Module:
    """An independent copy with dense layers and without our hooks; ``weights`` (dense) are loaded into it."""
    twin = copy.deepcopy(model)
    for module in twin.modules():
        for hooks in (
            module._state_dict_hooks,
            module._load_state_dict_pre_hooks,
            module._load_state_dict_post_hooks,
        ):
            for key in [key for key, hook in hooks.items() if _is_ours(hook)]:
                del hooks[key]
    densify(twin)
    if weights is not None:
        twin.load_state_dict(dict(weights))
    return twin


def _is_ours(hook: Any) -> bool:
    inner = getattr(hook, "hook", hook)
    return inner is show_dense_weight or getattr(inner, "__module__", "") == show_dense_weight.__module__


def _logits(model: nn.Module, inputs: Tensor, batch_size: int) -> Tensor:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        return torch.cat([model(batch) for batch in inputs.split(batch_size)])
    finally:
        for module, training in modes.items():
            module.training = training

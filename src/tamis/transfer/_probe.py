"""What linear probes share: the fitted classifier, its scores, and the record of how it was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tamis.errors import UsageError
from tamis.transfer._metrics import Scores, score


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """A linear classifier on frozen features.

    Attributes:
        weight: float32 (K, d); standardisation, if there was one, is folded in.
        bias: float32 (K,).
        test: both accuracies on the test images.
        predictions: int64 (n_test,).
        logits: float32 (n_test, K).
        selection: ``last`` for what training ended with, ``best_val`` for the epoch or C that validation chose.
        chosen: what validation chose, such as ``{"C": 0.1}``; empty where it chose nothing.
        validation: the validation score of every candidate, JSON types.
        warnings: solver and grid.
    """

    weight: Tensor
    bias: Tensor
    test: Scores
    predictions: Tensor
    logits: Tensor
    selection: str
    chosen: dict[str, float]
    validation: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()

    def head(self) -> nn.Linear:
        """The classifier as a module."""
        layer = nn.Linear(self.weight.shape[1], self.weight.shape[0])
        with torch.no_grad():
            layer.weight.copy_(self.weight)
            layer.bias.copy_(self.bias)
        return layer


def primary(scores: Scores, metric: str) -> float:
    """The accuracy that counts: ``top1`` or ``mean_per_class``."""
    return float(getattr(scores, metric))


def predict(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Logits (N, K) of features (N, d)."""
    return features @ weight.T + bias


def scored(labels: Tensor, logits: Tensor, num_classes: int) -> Scores:
    """Both accuracies of logits (N, K)."""
    return score(labels, logits.argmax(1), num_classes)


def check_features(features: Tensor, labels: Tensor, num_classes: int, what: str) -> None:
    """UsageError unless features are float (N, d) and labels int64 (N,) below ``num_classes``."""
    if features.dim() != 2 or not features.is_floating_point() or labels.shape != features.shape[:1]:
        raise UsageError(
            f"{what}: features {tuple(features.shape)} {features.dtype} and labels {tuple(labels.shape)}; expected "
            "float (N, d) and int64 (N,)"
        )
    if not len(labels) or int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise UsageError(f"{what}: expected at least one label, each from 0 to {num_classes - 1}")

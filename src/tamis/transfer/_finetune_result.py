"""What a fine-tuning leaves: the network, its scores by selection rule, and how it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from tamis.transfer._metrics import Scores


@dataclass(frozen=True, eq=False)
class Outcome:
    """The network of one selection rule on the test images.

    ``selection``: ``last`` epoch, ``best_val`` (best on held-out training images), or ``paper_best_test`` (best on the
    test images, as the study's code reported; not for statistics).  ``epoch`` is 0-based, logits are float32 (n, K).
    """

    selection: str
    epoch: int
    test: Scores
    logits: Tensor


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What a fine-tuning leaves.

    Attributes:
        model: of the last epoch: dense layers, exact zeros, eval mode.
        outcomes: ``last`` and further selections.
        lr: the learning rate, chosen on validation where there were several.
        rates: validation score of each candidate, -1 where it diverged.
        sparsity_before, sparsity_after: share of pruned weights over all layers but the head; equal.
        history: one row per epoch, JSON types.
        train_seconds: wall time of all training steps of the final run.
    """

    model: nn.Module
    outcomes: tuple[Outcome, ...]
    lr: float
    rates: dict[str, float]
    sparsity_before: float
    sparsity_after: float
    history: tuple[dict[str, Any], ...]
    train_seconds: float

"""Loss and accuracy on held-out data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from tamis.data import ImageData, ordered_batches
from tamis.train._ranks import ALONE, Ranks


@dataclass(frozen=True)
class Evaluation:
    """Mean cross-entropy in nats (no label smoothing) and the share of right answers, over ``samples`` samples."""

    loss: float
    accuracy: float
    samples: int


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: ImageData,
    split: Literal["train", "test"] = "test",
    batch_size: int = 500,
    ranks: Ranks = ALONE,
) -> Evaluation:
    """Evaluate on every image of a split, in eval mode, not augmented; the model's mode is restored.

    Args:
        model: maps normalised float32 images (N, C, H, W) to logits (N, K).
        data: the images and labels.
        split: ``test`` is the held-out part.
        batch_size: images per forward pass.
        ranks: processes that share the batches; each gets the numbers of all.
    """
    was_training = model.training
    model.eval()
    loss, correct, samples = 0.0, 0, 0
    try:
        for images, labels in islice(ordered_batches(data, batch_size, split), ranks.rank, None, ranks.world):
            logits = model(images)
            loss += F.cross_entropy(logits.double(), labels, reduction="sum").item()
            correct += int((logits.argmax(1) == labels).sum())
            samples += len(labels)
    finally:
        model.train(was_training)
    loss, right, seen = ranks.total([loss, correct, samples])
    return Evaluation(loss / seen, right / seen, int(seen))

"""Which predictions a sparse model is unsure of: the gates of a cascade, as functions of its logits alone."""

from __future__ import annotations

import torch
from torch import Tensor

from tamis.errors import UsageError


def unsure_labels(logits: Tensor, half_width: float) -> Tensor:
    """``|sigmoid(z) - 0.5| < half_width`` for each sample and attribute: bool ``(N, K)``, computed in float64.

    Nothing is unsure at 0, everything above 0.5; a probability on the border is sure.

    Raises ``UsageError`` for a negative half-width.

    >>> unsure_labels(torch.tensor([[0.0, 3.0, -3.0]]), 0.4)
    tensor([[ True, False, False]])
    """
    _check(half_width, "half_width")
    return (torch.sigmoid(logits.double()) - 0.5).abs() < half_width


def unsure_classes(logits: Tensor, margin: float) -> Tensor:
    """Whether the two largest softmax probabilities are less than ``margin`` apart: bool ``(N, 1)``, in float64.

    Nothing is unsure at 0, everything above 1.

    Raises ``UsageError`` for a negative margin or fewer than two classes.

    >>> unsure_classes(torch.tensor([[2.0, 1.9, 0.0], [9.0, 0.0, 0.0]]), 0.2)
    tensor([[ True],
            [False]])
    """
    _check(margin, "margin")
    if logits.shape[1] < 2:
        raise UsageError(f"logits of shape {tuple(logits.shape)}; a margin needs at least two classes")
    best = torch.softmax(logits.double(), 1).topk(2, 1).values
    return best[:, :1] - best[:, 1:] < margin


def _check(width: float, name: str) -> None:
    if not width >= 0:
        raise UsageError(f"{name}={width}; expected a number of at least 0")

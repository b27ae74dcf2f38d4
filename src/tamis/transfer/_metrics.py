"""Top-1 and mean-per-class accuracy; both are always stored, the task says which one counts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from tamis.errors import UsageError


@dataclass(frozen=True)
class Scores:
    """Both accuracies as fractions, and the number of samples that they are of."""

    top1: float
    mean_per_class: float
    n: int


def top1(labels: Tensor, predictions: Tensor) -> float:
    """Correct over all; ``labels`` and ``predictions`` are int64 (N,), N at least 1."""
    _check(labels, predictions)
    return int((labels == predictions).sum()) / len(labels)


def mean_per_class(labels: Tensor, predictions: Tensor, num_classes: int) -> float:
    """The mean recall of the classes that occur in ``labels``; a class that does not is left out with a warning.

    Both int64 of shape (N,).  UsageError if they do not fit each other or ``num_classes``.

    >>> round(mean_per_class(torch.tensor([0, 0, 0, 1]), torch.tensor([0, 0, 1, 1]), 2), 4)
    0.8333
    """
    _check(labels, predictions)
    if int(labels.max()) >= num_classes or int(labels.min()) < 0:
        raise UsageError(f"labels run from {int(labels.min())} to {int(labels.max())}; expected 0 to {num_classes - 1}")
    counts = torch.bincount(labels, minlength=num_classes)
    correct = torch.bincount(labels[labels == predictions], minlength=num_classes)
    present = counts > 0
    absent = num_classes - int(present.sum())
    if absent:
        warnings.warn(
            f"{absent} of {num_classes} classes have no test sample; the mean is over the other classes", stacklevel=2
        )
    return float((correct[present].double() / counts[present].double()).mean())


def score(labels: Tensor, predictions: Tensor, num_classes: int) -> Scores:
    """Both accuracies at once; labels and predictions int64 of shape (N,)."""
    return Scores(top1(labels, predictions), mean_per_class(labels, predictions, num_classes), len(labels))


def _check(labels: Tensor, predictions: Tensor) -> None:
    if labels.dim() != 1 or labels.shape != predictions.shape or len(labels) == 0:
        raise UsageError(
            f"labels are {tuple(labels.shape)}, predictions {tuple(predictions.shape)}; expected (N,) twice, N above 0"
        )

"""Threshold calibration: as many predicted as true positives, found on validation samples and never on the test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tamis.errors import UsageError


@dataclass(frozen=True)
class Threshold:
    """A threshold for ``logit > threshold``, and how well it fits the validation samples.

    Attributes:
        threshold: may be infinite: predict none or all.
        wanted: positives among the validation labels.
        achieved: validation samples above the threshold.
        tied: whether equal logits leave no threshold with exactly ``wanted``.
    """

    threshold: float
    wanted: int
    achieved: int
    tied: bool


def calibrate_threshold_report(val_logits: np.ndarray, val_labels: np.ndarray) -> Threshold:
    """The midpoint between the k-th and the next largest validation logit, k being the number of positives.

    Args:
        val_logits: shape (N,), N at least 1.
        val_labels: shape (N,), 0 and 1.

    k = 0 gives infinity and k = N minus infinity.  Where the two logits are equal the threshold is their value, and
    ``achieved`` is below ``wanted``.
    """
    logits, wanted = _checked(val_logits, val_labels)
    if wanted == 0:
        return Threshold(math.inf, 0, 0, False)
    if wanted == len(logits):
        return Threshold(-math.inf, wanted, wanted, False)
    place = len(logits) - wanted
    ordered = np.partition(logits, (place - 1, place))
    below, above = float(ordered[place - 1]), float(ordered[place])
    middle = below + (above - below) / 2
    threshold = middle if middle < above else below  # neighbouring numbers have no midpoint
    return Threshold(threshold, wanted, int((logits > threshold).sum()), below == above)


def calibrate_threshold(val_logits: np.ndarray, val_labels: np.ndarray) -> float:
    """The threshold of :func:`calibrate_threshold_report` alone; both arrays of shape (N,), as there."""
    return calibrate_threshold_report(val_logits, val_labels).threshold


def calibrate_threshold_published(val_logits: np.ndarray, val_labels: np.ndarray) -> float:
    """The threshold of the published code, for comparison: the k-th largest validation logit; arrays of shape (N,).

    With its strict ``>`` one positive too few is predicted, and k = 0 gives the smallest logit, so nearly all samples
    are.
    """
    logits, wanted = _checked(val_logits, val_labels)
    place = len(logits) - wanted if wanted else 0
    return float(np.partition(logits, place)[place])


def _checked(val_logits: np.ndarray, val_labels: np.ndarray) -> tuple[np.ndarray, int]:
    logits, labels = np.asarray(val_logits, np.float64), np.asarray(val_labels)
    if logits.ndim != 1 or logits.shape != labels.shape or not len(logits):
        raise UsageError(
            f"validation logits {logits.shape} and labels {labels.shape}; expected one label for each logit"
        )
    return logits, int((labels == 1).sum())

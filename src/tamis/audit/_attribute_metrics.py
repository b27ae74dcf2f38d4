"""Metrics of one attribute: uncertainty, threshold bias, calibration error, area under the ROC curve."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from tamis.audit._reasons import Value, undefined

UNCERTAIN = 0.4
VERY_UNCERTAIN = 0.1


def uncertain(prob: np.ndarray, half_width: float = UNCERTAIN) -> np.ndarray:
    """Which probabilities lie in the open interval ``|p - 0.5| < half_width``; bool, shape of ``prob``.

    Always about 0.5, also where thresholds were moved.  Note where the brackets stand: ``abs((p - 0.5) < h)`` would
    count everything below 0.5 + h.
    """
    return np.abs(np.asarray(prob, np.float64) - 0.5) < half_width


def uncertain_logits(logits: np.ndarray, half_width: float = UNCERTAIN) -> np.ndarray:
    """The same from logits: ``|z| < ln((0.5 + h) / (0.5 - h))``, which is ln 9 for h = 0.4; everything from h = 0.5
    on."""
    limit = math.inf if half_width >= 0.5 else math.log((0.5 + half_width) / (0.5 - half_width))
    return np.abs(logits) < limit


def uncertainty(prob: np.ndarray, half_width: float = UNCERTAIN) -> Value:
    """Share of uncertain predictions, from probabilities, shape (N,)."""
    return Value(float(uncertain(prob, half_width).mean())) if len(prob) else undefined("no_labels")


def uncertainty_logits(logits: np.ndarray, half_width: float = UNCERTAIN) -> Value:
    """Share of uncertain predictions, from logits, shape (N,)."""
    return Value(float(uncertain_logits(logits, half_width).mean())) if len(logits) else undefined("no_labels")


def rare_counts(y_true: np.ndarray, y_pred: np.ndarray, train_positive_rate: float) -> tuple[int, int]:
    """How often the rarer value is predicted and true: 0 if the training rate is above one half, else 1."""
    rare = 0 if train_positive_rate > 0.5 else 1
    return int((np.asarray(y_pred) == rare).sum()), int((np.asarray(y_true) == rare).sum())


def tcb_ratio(y_true: np.ndarray, y_pred: np.ndarray, train_positive_rate: float) -> Value:
    """Threshold calibration bias: how often the rarer value is predicted, over how often it is true.

    1 is none; below 1 the rarer value is predicted too seldom (``rare_val_underpredict`` of the published code).

    Args:
        y_true: shape (N,), 0 and 1.
        y_pred: shape (N,), 0 and 1.
        train_positive_rate: share of positives in the training data; exactly one half makes the positive value the
            rarer.
    """
    predicted, true = rare_counts(y_true, y_pred, train_positive_rate)
    return Value(predicted / true) if true else undefined("no_rare_value")


def tcb(y_true: np.ndarray, y_pred: np.ndarray, train_positive_rate: float) -> Value:
    """The logarithm of :func:`tcb_ratio`, arrays of shape (N,); undefined (never_predicted) where that is 0."""
    found = tcb_ratio(y_true, y_pred, train_positive_rate)
    if not found.defined:
        return found
    return Value(math.log(found.value)) if found.value > 0 else undefined("never_predicted")


def tcb_smoothed(y_true: np.ndarray, y_pred: np.ndarray, train_positive_rate: float, a: float = 0.5) -> Value:
    """``ln((predicted + a) / (true + a))`` of the rarer value: finite also where it is never predicted.

    Both arrays have shape (N,).
    """
    return smoothed_log_ratio(*rare_counts(y_true, y_pred, train_positive_rate), a)


def smoothed_log_ratio(predicted: int, true: int, a: float = 0.5) -> Value:
    """``ln((predicted + a) / (true + a))``, undefined (no_rare_value) where nothing is true."""
    return Value(math.log((predicted + a) / (true + a))) if true else undefined("no_rare_value")


def binned_ece(
    prob: np.ndarray, y_true: np.ndarray, bins: int = 10, last_bin: Literal["own", "closed"] = "own"
) -> Value:
    """Expected calibration error of the positive class over equal bins ``floor(bins * p)``.

    The mean over samples of ``|mean p - mean y|`` of their bin.

    Args:
        prob: probabilities of the positive value, shape (N,).
        y_true: shape (N,), 0 and 1.
        bins: how many.
        last_bin: p = 1 has a bin of its own, as in the published code, or belongs to the last one.
    """
    if len(prob) == 0:
        return undefined("no_labels")
    place = (np.asarray(prob, np.float64) * bins).astype(np.intp)
    if last_bin == "closed":
        np.minimum(place, bins - 1, out=place)
    gaps = np.bincount(place, weights=np.asarray(prob, np.float64) - y_true, minlength=bins + 1)
    return Value(float(np.abs(gaps).sum() / len(prob)))


def auc(y_true: np.ndarray, score: np.ndarray) -> Value:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting one half.

    Args:
        y_true: shape (N,), 0 and 1.
        score: shape (N,), any floating type; probabilities or logits, never hard predictions.
    """
    y = np.asarray(y_true, bool)
    positives = int(y.sum())
    negatives = len(y) - positives
    if positives == 0 or negatives == 0:
        return undefined("single_class")
    if np.asarray(score).dtype == np.float32:
        wins = _wins_by_keys(y, np.asarray(score))
    else:
        ranked = np.sort(score[~y])
        asked = np.sort(score[y])
        below = np.searchsorted(ranked, asked, "left").sum(dtype=np.int64)
        wins = float(below + np.searchsorted(ranked, asked, "right").sum(dtype=np.int64)) / 2
    return Value(wins / positives / negatives)


def _wins_by_keys(y: np.ndarray, score: np.ndarray) -> float:
    """Pairs that positives win, by one sort of whole numbers that hold the score's order and, below it, the label."""
    bits = (score + np.float32(0)).view(np.int32)  # + 0 turns -0 into 0
    ordered = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits).astype(np.int64)
    keys = np.sort(2 * ordered + y)
    label = keys & 1
    ends = np.flatnonzero(np.append((keys[1:] >> 1) != (keys[:-1] >> 1), True))
    positives = np.diff(np.cumsum(label)[ends], prepend=0)
    negatives = np.cumsum(1 - label)[ends]
    tied = np.diff(negatives, prepend=0)
    return float((positives * (2 * negatives - tied)).sum(dtype=np.int64)) / 2

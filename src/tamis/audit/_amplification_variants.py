"""Two other definitions of bias amplification, for comparison with papers that use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tamis.audit._reasons import Value, undefined


@dataclass(frozen=True)
class Directional:
    """Directional bias amplification of Wang & Russakovsky (2021): of the attributes T, and of the identities A."""

    a_to_t: Value
    t_to_a: Value


def zhao2017_mean_ba(y_true: np.ndarray, y_pred: np.ndarray, group_true: np.ndarray, group_pred: np.ndarray) -> Value:
    """Mean bias amplification of Zhao et al. (2017), "Men also like shopping", over pairs with b > 1/2.

    ``b(t, g)`` is the share of group g among the true positives of t, ``b~(t, g)`` the same with predicted labels and
    predicted groups; the mean is over ``b~ - b``.

    Args:
        y_true: true attributes, shape (N, K), 0 and 1.
        y_pred: predicted ones, alike.
        group_true: true groups, shape (N,), 0 and 1.
        group_pred: predicted ones, alike.
    """
    found = []
    for t in range(y_true.shape[1]):
        for group in (0, 1):
            positives, predicted = y_true[:, t] == 1, y_pred[:, t] == 1
            inside = int((positives & (group_true == group)).sum())
            if 2 * inside <= int(positives.sum()):
                continue
            if not predicted.any():
                return undefined("never_predicted")
            share = float((predicted & (group_pred == group)).sum() / predicted.sum())
            found.append(share - inside / int(positives.sum()))
    return Value(float(np.mean(found))) if found else undefined("no_pairs")


def biasamp_directional(
    t_true: np.ndarray,
    t_pred: np.ndarray,
    a_true: np.ndarray,
    a_pred: np.ndarray,
    *,
    train: tuple[np.ndarray, np.ndarray] | None = None,
    tie: Literal["zero", "minus"] = "zero",
    drop_empty: bool = False,
) -> Directional:
    """Directional bias amplification, Wang & Russakovsky (2021), section 4.

    A to T is the mean over pairs of ``s (P(T^ | A) - P(T | A))``, T to A that of ``s (P(A^ | T) - P(A | T))``, where
    s is the sign of ``n #(A, T) - #A #T`` in the training data, in whole numbers.

    Args:
        t_true: true attributes, shape (N, K), 0 and 1.
        t_pred: predicted ones, alike.
        a_true: true identities, shape (N, G), 0 and 1.
        a_pred: predicted ones, alike.
        train: attributes and identities of the training data, which give the signs; None takes the test's.
        tie: exact independence counts as 0, or as a negative sign, which is the paper's formula.
        drop_empty: the authors' code takes the signs from rows with at least one attribute or identity.  Compatibility
            only; columns A and not A make it inert.
    """
    t_train, a_train = (np.asarray(part, np.int64) for part in (train or (t_true, a_true)))
    if drop_empty:
        kept = t_train.any(axis=1) | a_train.any(axis=1)
        t_train, a_train = t_train[kept], a_train[kept]
    signs = np.sign(len(t_train) * (a_train.T @ t_train) - np.outer(a_train.sum(axis=0), t_train.sum(axis=0)))
    if tie == "minus":
        signs[signs == 0] = -1
    return Directional(_mean_shift(a_true, t_true, t_pred, signs), _mean_shift(t_true, a_true, a_pred, signs.T))


def _mean_shift(given: np.ndarray, true: np.ndarray, predicted: np.ndarray, signs: np.ndarray) -> Value:
    """Mean of ``sign * (P(predicted | given) - P(true | given))``; columns of ``given`` are the rows of ``signs``."""
    sizes = np.asarray(given, np.int64).sum(axis=0)
    if not sizes.all():
        return undefined("empty_group")
    moved = np.asarray(given, np.int64).T @ (np.asarray(predicted, np.int64) - np.asarray(true, np.int64))
    return Value(float(np.mean(signs * moved / sizes[:, None])))

"""Preprocessing: rows are drawn so that label and group become independent, then any learner is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state

from tamis.errors import UsageError
from tamis.sources._delegating import DelegatingClassifier
from tamis.sources._groups import two_classes, two_groups
from tamis.sources._linear import checked

Array = np.ndarray[Any, Any]


CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (group, label), in the order of the draws


def independent_rows(y: Array, a: Array, random: np.random.RandomState) -> Array:
    """Row numbers that make ``y`` and ``a`` (0 or 1) independent, drawn with replacement, cell by cell.

    Each cell gets ``int(n_a · n_y / n)`` rows (Kamiran and Calders, KAIS 2012, uniform sampling) by
    ``randint(0, m, size)``; one that has no rows stays empty and draws nothing, as in the published runs.
    """
    drawn = []
    for group, label in CELLS:
        cell = np.flatnonzero((a == group) & (y == label))
        size = int((a == group).sum() * (y == label).sum() / len(y))
        drawn.append(cell[random.randint(0, len(cell), size)] if size and len(cell) else cell[:0])
    return np.concatenate(drawn)


class ResampledClassifier(DelegatingClassifier):
    """Draws rows so that label and group are independent, then fits ``estimator`` on them (Kamiran and Calders 2012).

    Args:
        estimator: any scikit-learn classifier; None for :class:`UnawareClassifier`, the published choice.
        random_state: seed, or a ``numpy.random.RandomState`` that is advanced.

    Attributes:
        rows_: numbers of the drawn rows, int, shape (m,).
        estimator_: the fitted classifier.
        groups_: the two values of the sensitive feature, sorted.
    """

    def __init__(self, estimator: Any = None, *, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> ResampledClassifier:
        """Fit on ``X`` (n, d), binary labels ``y`` (n,) and two groups ``sensitive_features`` (n,).

        Raises:
            UsageError: no sensitive features, not two classes and two groups, or a cell of label and group is empty.
        """
        X, y = checked(self, X, y)
        self.classes_, coded = two_classes(y)
        self.groups_, a = two_groups(sensitive_features, X)
        for group, label in CELLS:
            if not ((a == group) & (coded == label)).any():
                raise UsageError(
                    f"no row has group {self.groups_[group]!r} and label {self.classes_[label]!r}: label and group "
                    "cannot be made independent by drawing rows; take another learner"
                )
        self.rows_ = independent_rows(coded, a, check_random_state(self.random_state))
        self.estimator_ = clone(self._inner()).fit(X[self.rows_], y[self.rows_])
        return self

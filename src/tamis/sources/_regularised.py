"""Logistic regression with a penalty on the difference of the groups' mean probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from tamis.sources._linear import LinearClassifier
from tamis.sources._logistic import (
    balanced_weights,
    bfgs,
    clipped,
    cross_entropy,
    fit_logistic,
    gradient,
    group_gap,
    logits,
    smooth_absolute,
)

Array = np.ndarray[Any, Any]


class RegularisedClassifier(LinearClassifier):
    """Class-balanced logistic regression plus ``eta`` times the smoothed disparity of probabilities.

    The loss is ``½ mean CE of y = 0 + ½ mean CE of y = 1 + eta · m² / sqrt(m² + 1e-8)``, where m is the mean
    probability of group 1 minus that of group 0; BFGS starts from a ridge logistic regression (C = 1).  After Kamishima
    et al., ECML 2012, as the published experiments of FLEA (TMLR 2022) have it: the classes count equally, so that its
    accuracy on unbalanced labels is below that of plain logistic regression.

    Args:
        eta: weight of the disparity; 0 for balanced logistic regression.
        gtol: largest gradient at which BFGS stops.
        max_iter: iterations of BFGS.

    Attributes:
        groups_: the two values of the sensitive feature, sorted.
        converged_: whether BFGS met ``gtol``.
        n_iter_: iterations of BFGS.
    """

    def __init__(self, *, eta: float = 0.5, gtol: float = 1e-4, max_iter: int = 500) -> None:
        self.eta = eta
        self.gtol = gtol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> RegularisedClassifier:
        """Fit on ``X`` (n, d), binary labels ``y`` (n,) and two groups ``sensitive_features`` (n,).

        Raises:
            UsageError: no sensitive features, or not exactly two classes and two groups.
            ValueError: NaN, infinity, or lengths that differ.
        """
        X, coded, a = self._coded(X, y, sensitive_features)
        start = fit_logistic(X, coded, C=1.0, max_iter=500).theta
        loss = balanced_loss(X, coded, a, self.eta)
        found = bfgs(loss, start, gtol=self.gtol, max_iter=self.max_iter)
        self.converged_, self.n_iter_ = found.converged, found.n_iter
        self._set(found.theta)
        return self


def balanced_loss(X: Array, y: Array, a: Array, eta: float) -> Any:
    """The function ``theta -> (loss, gradient)`` of :class:`RegularisedClassifier`; ``y`` and ``a`` are 0 or 1."""
    weights = balanced_weights(y)

    def loss(theta: Array) -> tuple[float, Array]:
        z, inside = clipped(logits(theta, X))
        m, slope = group_gap(z, a)
        penalty, derivative = smooth_absolute(m)
        value = float(weights @ cross_entropy(z, y)) + eta * penalty
        return value, gradient(X, inside * (weights * (expit(z) - y) + eta * derivative * slope))

    return loss

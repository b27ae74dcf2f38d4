"""Postprocessing: one threshold for each group, at equal rates of positive decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from tamis.errors import UsageError
from tamis.sources._groups import group_column
from tamis.sources._inner import fit_inner, route
from tamis.sources._linear import LinearClassifier
from tamis.sources._logistic import CLIP, logits
from tamis.sources._unaware import UnawareClassifier

Array = np.ndarray[Any, Any]

RATES = np.linspace(0.0, 1.0, 101)
MARGIN = 1e-9  # below a published threshold, so that its row is positive whatever the rounding of c + w @ x


class PostprocessedClassifier(LinearClassifier):
    """A linear classifier whose threshold depends on the group, so that both have the same rate of positive decisions.

    Of 101 rates the one with the most correct decisions on the training rows is taken (after Hardt et al., NeurIPS
    2016, for demographic parity).  The thresholds become part of the weights, so the groups must be a column of ``X``;
    no sensitive features are asked for at prediction.  For estimators that are not linear take Fairlearn's
    ``ThresholdOptimizer``.

    Args:
        estimator: a linear classifier with ``coef_`` and ``intercept_``; None for :class:`UnawareClassifier`.
        sensitive_column: column of ``X`` that holds the group as 0 or 1; None looks for it.
        paper_compat: True keeps a slip of the published code: a threshold lies on a row's logit, counts that row as
            negative and predicts it positive.  False places it halfway to the next logit.

    Attributes:
        rate_: share of negative decisions that was taken.
        thresholds_: logit thresholds of group 0 and 1, float64, shape (2,).
        groups_: the two values of the sensitive feature, sorted.
    """

    def __init__(
        self, estimator: Any = None, *, sensitive_column: int | None = None, paper_compat: bool = False
    ) -> None:
        self.estimator = estimator
        self.sensitive_column = sensitive_column
        self.paper_compat = paper_compat

    def get_metadata_routing(self) -> Any:
        """What ``fit`` asks for, and what it hands on to the estimator."""
        return route(self, UnawareClassifier() if self.estimator is None else self.estimator)

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sources: Any = None, **metadata: Any
    ) -> PostprocessedClassifier:
        """Fit on ``X`` (n, d), binary labels ``y`` (n,) and two groups ``sensitive_features`` (n,).

        The estimator gets these, ``sources`` and other ``metadata`` as far as its ``fit`` takes them.

        Raises:
            UsageError: no sensitive features, not two classes and two groups, no column holds the group, or the
                estimator is not linear.
        """
        X, coded, a = self._coded(X, y, sensitive_features)
        column = group_column(X, a, self.sensitive_column)
        inner = UnawareClassifier() if self.estimator is None else clone(self.estimator)
        fit_inner(self, inner, X, y, {"sensitive_features": sensitive_features, "sources": sources, **metadata})
        if not hasattr(inner, "coef_"):
            raise UsageError(
                f"{type(inner).__name__} has no coef_: expected a linear classifier; for others take Fairlearn's "
                "ThresholdOptimizer"
            )
        theta = np.concatenate([np.ravel(inner.intercept_), np.ravel(inner.coef_)])
        self.rate_, self.thresholds_, theta = equal_rates(theta, X, coded, a, column, self.paper_compat)
        self._set(theta)
        return self


def equal_rates(
    theta: Array, X: Array, y: Array, a: Array, column: int, paper_compat: bool
) -> tuple[float, Array, Array]:
    """The best common rate of negative decisions, the two thresholds, and ``theta`` with the thresholds in it.

    Args:
        theta: ``[c, w]``, shape (1 + d,).
        X: shape (n, d); ``X[:, column] == a``.
        y: 0 or 1, shape (n,).
        a: 0 or 1, shape (n,).
        column: where ``a`` is in ``X``.
        paper_compat: see :class:`PostprocessedClassifier`.
    """
    curve = published_curve if paper_compat else midpoint_curve
    z = np.clip(logits(theta, X), -CLIP, CLIP)
    cuts, correct = zip(*(curve(z[a == group], y[a == group]) for group in (0, 1)), strict=True)
    best = int(np.argmax(correct[0] + correct[1]))
    thresholds = np.array([cuts[0][best], cuts[1][best]]) - (MARGIN if paper_compat else 0.0)
    moved = theta.copy()
    moved[0] -= thresholds[0]
    moved[1 + column] += thresholds[0] - thresholds[1]
    return float(RATES[best]), thresholds, moved


def published_curve(z: Array, y: Array) -> tuple[Array, Array]:
    """Thresholds and numbers of correct decisions of one group at the 101 rates; thresholds lie on the logits."""
    order = np.argsort(z, kind="stable")
    rates = np.arange(1, len(z) + 1) / len(z)
    correct = np.cumsum(1 - 2 * y[order]) + y.sum()
    return np.interp(RATES, rates, z[order]), np.interp(RATES, rates, correct)


def midpoint_curve(z: Array, y: Array) -> tuple[Array, Array]:
    """The same with thresholds between neighbouring distinct logits, so that each counts what it decides.

    Rates 0 and 1 have thresholds beyond the outer logits, by as much as the mean distance of neighbours.
    """
    values, last = np.unique(z, return_inverse=True)
    step = (values[-1] - values[0]) / max(len(values) - 1, 1) or 1.0
    edges = np.concatenate([[values[0] - step], values, [values[-1] + step]])
    cuts = (edges[1:] + edges[:-1]) / 2
    negatives = np.concatenate([[0], np.cumsum(np.bincount(last))])
    gained = np.concatenate([[0], np.cumsum(np.bincount(last, weights=1 - 2 * y))])
    return np.interp(RATES, negatives / len(z), cuts), np.interp(RATES, negatives / len(z), gained + y.sum())

"""Hierarchical tilted empirical risk: soft maximum over groups, soft minimum over sources."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from tamis.sources._linear import LinearClassifier
from tamis.sources._logistic import bfgs, cross_entropy, fit_logistic, gradient, logits
from tamis.sources._pooling import rows_of_sources
from tamis.sources._resampled import independent_rows

Array = np.ndarray[Any, Any]


class HTERMClassifier(LinearClassifier):
    """Logistic regression on a doubly tilted risk (Li et al., ICLR 2021, as a baseline of FLEA, TMLR 2022).

    Within a source ``L_s = 1/tau · log Σ_g (n_g / n_s) exp(tau · CE_g)`` attends to the worse group; over sources
    ``1/t · log Σ_s (n_s / n) exp(t · L_s)`` with negative t attends to the sources with low loss.  BFGS starts from a
    ridge logistic regression (C = 1) on all rows.

    Args:
        tau: tilt over groups.
        t: tilt over sources.
        gtol: largest gradient at which BFGS stops.
        max_iter: iterations of BFGS.
        resample: draw the rows of each source first so that label and group are independent in it
            (:func:`independent_rows`): the published variant "preprocessing".
        paper_compat: True keeps a slip of the published code, which feeds probabilities into the cross-entropy as if
            they were logits; the baseline is weaker for it.
        random_state: seed, or a ``numpy.random.RandomState`` that is advanced; only for ``resample``.

    Attributes:
        sources_: labels of the sources, sorted.
        groups_: the two values of the sensitive feature, sorted.
        converged_: whether BFGS met ``gtol``.
        n_iter_: iterations of BFGS.
    """

    def __init__(
        self,
        *,
        tau: float = 2.0,
        t: float = -2.0,
        gtol: float = 1e-4,
        max_iter: int = 500,
        resample: bool = False,
        paper_compat: bool = False,
        random_state: Any = None,
    ) -> None:
        self.tau = tau
        self.t = t
        self.gtol = gtol
        self.max_iter = max_iter
        self.resample = resample
        self.paper_compat = paper_compat
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None, sources: Any = None) -> HTERMClassifier:
        """Fit on ``X`` (n, d), binary ``y`` (n,), two groups ``sensitive_features`` (n,) and ``sources`` (n,).

        Raises:
            UsageError: no sensitive features, or not exactly two classes and two groups.
            ValueError: NaN, infinity, or lengths that differ.
        """
        X, coded, a = self._coded(X, y, sensitive_features)
        self.sources_, rows = rows_of_sources(sources, len(coded))
        if self.resample:
            random = check_random_state(self.random_state)
            rows = [part[independent_rows(coded[part], a[part], random)] for part in rows]
        parts = [(X[part], coded[part], a[part]) for part in rows]
        everything = np.concatenate(rows)
        start = fit_logistic(X[everything], coded[everything], C=1.0, max_iter=500).theta

        def risk(theta: Array) -> tuple[float, Array]:
            return tilted_risk(theta, parts, self.tau, self.t, self.paper_compat)

        found = bfgs(risk, start, gtol=self.gtol, max_iter=self.max_iter)
        self.converged_, self.n_iter_ = found.converged, found.n_iter
        self._set(found.theta)
        return self


def tilted_risk(
    theta: Array, parts: list[tuple[Array, Array, Array]], tau: float, t: float, paper_compat: bool
) -> tuple[float, Array]:
    """The risk of :class:`HTERMClassifier` and its gradient.

    Args:
        theta: ``[c, w]``.
        parts: for each source X, y and a; y and a are 0 or 1.
        tau, t, paper_compat: see the class.
    """
    losses, slopes, sizes = [], [], []
    for X, y, a in parts:
        z = logits(theta, X)
        # What the cross-entropy gets, and its derivative for the logit.
        p = expit(z)
        f, inner = (p, p * (1 - p)) if paper_compat else (z, 1.0)
        ce, residual = cross_entropy(f, y), (expit(f) - y) * inner
        groups = [np.flatnonzero(a == value) for value in (0, 1) if (a == value).any()]
        means = np.array([ce[rows].mean() for rows in groups])
        shares = np.array([len(rows) for rows in groups]) / len(y)
        value, weights = _tilted_mean(means, shares, tau)
        row_weights = np.zeros(len(y))
        for rows, weight in zip(groups, weights, strict=True):
            row_weights[rows] = weight / len(rows)
        losses.append(value)
        slopes.append(gradient(X, row_weights * residual))
        sizes.append(len(y))
    risk, weights = _tilted_mean(np.array(losses), np.array(sizes) / sum(sizes), t)
    return risk, weights @ np.array(slopes)


def _tilted_mean(values: Array, shares: Array, tilt: float) -> tuple[float, Array]:
    """``1/tilt · log Σ share · exp(tilt · value)`` and its derivatives for the values."""
    scaled = tilt * values
    top = scaled.max()
    terms = shares * np.exp(scaled - top)
    return float((top + np.log(terms.sum())) / tilt), terms / terms.sum()

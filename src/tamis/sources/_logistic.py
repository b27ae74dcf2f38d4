"""Logistic functions that the fair learners share: losses, their gradients, and two ways to minimise.

``theta`` is always ``[c, w]``, intercept first, on the columns as given: the published learners do not standardise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

Array = np.ndarray[Any, Any]

CLIP = 20.0  # logits beyond it are cut, with gradient 0
SMOOTH = 1e-8  # |m| is taken as m² / sqrt(m² + SMOOTH)


class Minimum(NamedTuple):
    """What a solver found: ``theta`` (1 + d,), whether it met its tolerance, and its iterations (at least 1)."""

    theta: Array
    converged: bool
    n_iter: int


def logits(theta: Array, X: Array) -> Array:
    """``c + X @ w``, shape (n,)."""
    return theta[0] + X @ theta[1:]


def cross_entropy(z: Array, target: Array) -> Array:
    """Cross-entropy of logits ``z`` with targets in {0, 1}, elementwise, in nats."""
    return np.logaddexp(0.0, z) - target * z


def clipped(z: Array) -> tuple[Array, Array]:
    """Logits cut at ±20, and where they were not cut (1.0) or were (0.0): the derivative of the cut."""
    return np.clip(z, -CLIP, CLIP), (np.abs(z) <= CLIP).astype(float)


def gradient(X: Array, residual: Array) -> Array:
    """Gradient for ``theta`` of a loss whose derivative for the logits is ``residual``, shape (1 + d,)."""
    return np.concatenate([[residual.sum()], residual @ X])


def smooth_absolute(m: float) -> tuple[float, float]:
    """``m² / sqrt(m² + 1e-8)`` and its derivative."""
    root = np.sqrt(m * m + SMOOTH)
    return float(m * m / root), float(m * (m * m + 2 * SMOOTH) / root**3)


def group_gap(z: Array, a: Array) -> tuple[float, Array]:
    """Mean probability of group 1 minus that of group 0, and its derivative for the logits, shape (n,)."""
    p, weight = expit(z), np.where(a == 1, 1.0 / max((a == 1).sum(), 1), -1.0 / max((a == 0).sum(), 1))
    return float(weight @ p), weight * p * (1 - p)


def balanced_weights(y: Array) -> Array:
    """Row weights that give each class of ``y`` the sum one half."""
    positive = y == 1
    return np.where(positive, 0.5 / max(positive.sum(), 1), 0.5 / max((~positive).sum(), 1))


def fit_logistic(X: Array, y: Array, *, C: float, tol: float = 1e-4, max_iter: int = 700) -> Minimum:
    """Logistic regression by L-BFGS on the *sum* of the losses, from zero: what scikit-learn had until version 1.3.

    Later versions minimise the mean, to which the same tolerance is n times as loose: on published tables they stop so
    early that rows near the threshold change sides, and the published numbers are missed (docs/flea_study.md).

    Args:
        X: shape (n, d).
        y: 0 or 1, shape (n,), both present.
        C: inverse strength of the squared penalty on ``w``; ``inf`` for none.
        tol: largest gradient of the sum at which L-BFGS stops; it also stops where steps no longer pay (a relative
            decrease of 2.2e-9, SciPy's default).
        max_iter: after so many iterations it stops anyhow.
    """

    def loss(theta: Array) -> tuple[float, Array]:
        z, w = logits(theta, X), theta[1:] / C
        slope = gradient(X, expit(z) - y)
        slope[1:] += w
        return float(cross_entropy(z, y).sum() + 0.5 * w @ theta[1:]), slope

    options = {"gtol": tol, "maxiter": max_iter}
    found = minimize(loss, np.zeros(1 + X.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return Minimum(np.asarray(found.x), bool(found.success), max(int(found.nit), 1))


def bfgs(function: Callable[[Array], tuple[float, Array]], start: Array, *, gtol: float, max_iter: int) -> Minimum:
    """SciPy's BFGS from ``start``, until no element of the gradient exceeds ``gtol``.

    A line search that finds no further descent counts as the end, as in the published runs.
    """
    found = minimize(function, start, jac=True, method="BFGS", options={"gtol": gtol, "maxiter": max_iter})
    return Minimum(np.asarray(found.x), bool(found.success), max(int(found.nit), 1))

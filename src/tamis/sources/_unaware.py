"""Logistic regression that does not look at the groups: the learner "none" of the published tables."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from tamis.sources._groups import two_classes
from tamis.sources._linear import LinearClassifier, checked
from tamis.sources._logistic import fit_logistic


class UnawareClassifier(LinearClassifier):
    """Logistic regression without a penalty on raw columns (FLEA, TMLR 2022, learner "none").

    Args:
        tol: largest gradient of the summed losses at which L-BFGS stops.
        max_iter: iterations after which it stops with a ConvergenceWarning.

    Attributes:
        converged_: whether it met ``tol``.
        n_iter_: iterations of L-BFGS.
    """

    def __init__(self, *, tol: float = 1e-4, max_iter: int = 700) -> None:
        self.tol = tol
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any) -> UnawareClassifier:
        """Fit on ``X`` (n, d) and binary labels ``y`` (n,).

        Raises:
            UsageError: ``y`` has one class, or more than two.
            ValueError: NaN, infinity, or lengths that differ.
        """
        X, y = checked(self, X, y)
        self.classes_, coded = two_classes(y)
        found = fit_logistic(X, coded, C=np.inf, tol=self.tol, max_iter=self.max_iter)
        self.converged_, self.n_iter_ = found.converged, found.n_iter
        if not self.converged_:
            warnings.warn(
                f"L-BFGS did not meet tol = {self.tol} in {self.max_iter} iterations; scale columns or raise max_iter",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._set(found.theta)
        return self

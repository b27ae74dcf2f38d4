"""The filter of Konstantinov et al. (2020): sources that look alike, by discrepancy and a bound from theory."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from tamis.errors import UsageError
from tamis.sources._baselines import PoolingClassifier
from tamis.sources._flea import FLEA

Array = np.ndarray[Any, Any]


class KonstantinovClassifier(PoolingClassifier):
    """Keeps sources whose discrepancy to more than ``n_bad`` sources, themselves included, is below a bound.

    The bound for two sources with m rows on average and d columns is :func:`discrepancy_bound`; where it exceeds every
    discrepancy, as for small sources, all are kept.  If none passes, all are kept too.  After Konstantinov et al., ICML
    2020, as a baseline of FLEA (TMLR 2022).

    Args:
        estimator: any classifier; None for :class:`UnawareClassifier`.
        n_bad: how many sources may be bad; None for the largest number below half.
        delta: probability with which the bound may fail.

    Attributes:
        discrepancy_: float64, shape (N, N).
        bounds_: float64, shape (N, N).
    """

    def __init__(self, estimator: Any = None, *, n_bad: int | None = None, delta: float = 0.1) -> None:
        self.estimator = estimator
        self.n_bad = n_bad
        self.delta = delta

    def _kept(self, X: Array, y: Array, labels: Array, rows: list[Array]) -> Array:
        n = len(labels)
        n_bad = (n - 1) // 2 if self.n_bad is None else self.n_bad
        if not 0 <= n_bad < n:
            raise UsageError(f"n_bad = {n_bad}: expected 0 to {n - 1}, there are {n} sources")
        if not 0 < self.delta < 1:
            raise UsageError(f"delta = {self.delta}: expected a probability between 0 and 1")
        number = np.empty(len(y), dtype=np.int64)
        for place, part in enumerate(rows):
            number[part] = place
        sizes = np.array([len(part) for part in rows])
        self.discrepancy_: Any = np.zeros((n, n))
        self.bounds_ = np.zeros((n, n))
        if n > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about the choice of FLEA, which is not used here
                sieve = FLEA(components=("discrepancy",)).fit(X, y, sources=number)
            self.discrepancy_ = sieve.discrepancy_
            mean = (sizes[:, None] + sizes) / 2
            self.bounds_ = discrepancy_bound(mean, X.shape[1], n, self.delta)
        kept = (self.discrepancy_ <= self.bounds_).sum(axis=1) > n_bad
        return kept if kept.any() else np.ones(n, dtype=bool)


def discrepancy_bound(m: Any, d: int, n_sources: int, delta: float) -> Any:
    """``sqrt((8 d (1 + ln(2 m / d)) + 8 ln(8 N / delta)) / m)``: two clean sources exceed it with probability delta.

    >>> round(float(discrepancy_bound(40, 2, 5, 0.1)), 9)
    1.753238344
    """
    return np.sqrt((8 * d * (1 + np.log(2 * np.asarray(m) / d)) + 8 * math.log(8 * n_sources / delta)) / m)

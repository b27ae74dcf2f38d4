"""Ranks and Spearman's correlation, ties sharing their mean rank."""

from __future__ import annotations

import math

import numpy as np

from tamis.audit._reasons import Value, undefined
from tamis.audit._student import two_sided

_BLOCK = 1 << 16  # rows at a time


def row_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks 1 to K within each row of (N, K), float64; equal values share the mean of their ranks."""
    n, width = values.shape
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.ones((n, width), bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = np.cumsum(starts.ravel()) - 1  # each row starts a run
    position = np.tile(np.arange(1, width + 1, dtype=np.float64), n)
    means = np.bincount(run, weights=position) / np.bincount(run)
    ranks = np.empty((n, width))
    np.put_along_axis(ranks, order, means[run].reshape(n, width), axis=1)
    return ranks


def row_spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each row of ``a`` with that of ``b``, both (N, K); NaN where a row is constant."""
    found = np.empty(len(a))
    for start in range(0, len(a), _BLOCK):
        stop = start + _BLOCK
        x, y = (row_ranks(side[start:stop]) - (side.shape[1] + 1) / 2 for side in (a, b))
        spread = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            found[start:stop] = (x * y).sum(axis=1) / spread
    return found


def spearman(a: np.ndarray, b: np.ndarray) -> tuple[Value, Value]:
    """Spearman's correlation of two arrays of shape (n,), and its two-sided p by Student's t with n - 2 degrees.

    Undefined for fewer than four pairs (too_few_pairs) and for equal values throughout (constant).
    """
    if len(a) < 4:
        return undefined("too_few_pairs"), undefined("too_few_pairs")
    rho = float(row_spearman(np.asarray(a, np.float64)[None], np.asarray(b, np.float64)[None])[0])
    if math.isnan(rho):
        return undefined("constant"), undefined("constant")
    t = math.inf if abs(rho) >= 1 - 1e-15 else rho * math.sqrt((len(a) - 2) / (1 - rho * rho))
    return Value(rho), Value(two_sided(t, len(a) - 2))

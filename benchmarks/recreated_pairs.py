"""The published estimates of a pair of sources, re-created from their description, for benchmarks/source_pairs.py.

This is not the published code, which is not part of tamis and needs libraries of 2022.  It is written anew from the
specification of that code: scikit-learn's scaler and logistic regressions (no penalty, at most 700 iterations, for the
discrepancy; C = 1, at most 500, for the start of the disparity), SciPy's BFGS (largest gradient 1e-4, at most 500
iterations, one start, both directions of a pair) on a loss written in JAX in double precision, its gradient by JAX's
automatic differentiation.  The published run also encodes data frames for every estimate; that is left out here, so
that the re-creation does less.

Two ways to call the gradient: as published, ``jax.grad`` of a compiled loss, which JAX traces anew at every call, and
compiled, which a user of today would write.  Compiling is part of both, since every pair has group sizes of its own.

Needs ``jax`` (``pip install jax``), which tamis does not.
"""

from __future__ import annotations

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

jax.config.update("jax_enable_x64", True)

STEEPEST = 20.0  # logits beyond it are cut


def _logits(theta, X):
    return jnp.clip(theta[0] + X @ theta[1:], -STEEPEST, STEEPEST)


@jax.jit
def _loss(theta, zeros, ones, first, second):
    """Balanced cross-entropy of the group on the loss source plus the smoothed gap on the other one."""
    on_zeros, on_ones = jnp.logaddexp(0, _logits(theta, zeros)), jnp.logaddexp(0, -_logits(theta, ones))
    gap = jax.nn.sigmoid(_logits(theta, first)).mean() - jax.nn.sigmoid(_logits(theta, second)).mean()
    return (on_zeros.mean() + on_ones.mean()) / 2 + gap**2 / jnp.sqrt(gap**2 + 1e-8)


AS_PUBLISHED, COMPILED = jax.grad(_loss), jax.jit(jax.grad(_loss))


def _theta(model):
    return np.concatenate([model.intercept_, model.coef_[0]])


def _positive(theta, X):
    return theta[0] + X @ theta[1:] >= 0


def discrepancy(one, two):
    """|error on one - error on two| of a classifier that is right on the first and wrong on the second."""
    scaler = StandardScaler().fit(np.vstack([one.X, two.X]))
    X_one, X_two = scaler.transform(one.X), scaler.transform(two.X)
    weight = np.concatenate([np.full(len(one.y), 1 / len(one.y)), np.full(len(two.y), 1 / len(two.y))])
    model = LogisticRegression(C=np.inf, max_iter=700)
    theta = _theta(model.fit(np.vstack([X_one, X_two]), np.concatenate([one.y, 1 - two.y]), weight))
    return abs(np.mean(_positive(theta, X_one) != one.y) - np.mean(_positive(theta, X_two) != two.y))


def directed_disparity(loss_source, gap_source, gradient):
    """| |gap on one| - |gap on the other| | of the classifier that BFGS finds."""
    scaler = StandardScaler().fit(np.vstack([loss_source.X, gap_source.X]))
    X, Z = scaler.transform(loss_source.X), scaler.transform(gap_source.X)
    target = loss_source.a == 0
    start = _theta(LogisticRegression(C=1.0, max_iter=500).fit(X, target))
    parts = [jnp.asarray(part) for part in (X[~target], X[target], Z[gap_source.a == 0], Z[gap_source.a == 1])]
    options = {"gtol": 1e-4, "maxiter": 500}
    theta = minimize(_loss, start, tuple(parts), method="BFGS", jac=gradient, options=options).x
    rates = [np.mean(_positive(theta, np.asarray(part))) for part in parts]
    return abs(abs(rates[1] - rates[0]) - abs(rates[2] - rates[3]))


def recreated_loop(sources, pairs, gradient):
    """Discrepancy and published disparity of every pair, float64 (P, 2); nothing compiled is left from before."""
    jax.clear_caches()
    found = np.empty((len(pairs), 2))
    for place, (i, j) in enumerate(pairs.tolist()):
        one, two = sources[i], sources[j]
        both = directed_disparity(one, two, gradient), directed_disparity(two, one, gradient)
        found[place] = discrepancy(one, two), max(both)
    return found

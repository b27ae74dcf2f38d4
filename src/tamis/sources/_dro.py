"""Distributionally robust demographic parity: equal rates under every reweighting near the given groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.utils import check_random_state

from tamis.errors import UsageError
from tamis.sources._linear import LinearClassifier
from tamis.sources._logistic import balanced_weights, cross_entropy, gradient, logits

Array = np.ndarray[Any, Any]

SAMPLES = 10  # weight vectors for each group on which a solution must be feasible
FEASIBLE = 1e-8


class DROClassifier(LinearClassifier):
    """Balanced logistic regression under robust parity constraints (Wang et al., NeurIPS 2020, as in FLEA, TMLR 2022).

    For each group the rate of positive decisions, taken as ``Σ w̄ σ(z)`` with the worst row weights w of total variation
    ``tv`` from uniform, must lie within ``xi`` of the base rate P(y = 1).  ``steps`` gradient steps descend in theta
    (1e-2), ascend in the two multipliers (0.1) and in the weights (1e-2, then projected); the feasible theta of least
    loss is kept.  ``xi`` is doubled until decisions are not constant.

    Args:
        tv: share of rows that may be wrong, in [0, 1]; the published runs take the share of bad sources.
        xi: slack of the rates.
        steps: gradient steps for one ``xi``.
        paper_compat: True keeps two slips of the published code: the projection returns absolute values inside the
            ball, and the sampled weights ignore radius and signs.
        random_state: seed, or a ``numpy.random.RandomState`` that is advanced.

    Attributes:
        xi_: the slack that was used in the end.
        groups_: the two values of the sensitive feature, sorted.
    """

    def __init__(
        self,
        *,
        tv: float = 0.4,
        xi: float = 0.01,
        steps: int = 1000,
        paper_compat: bool = False,
        random_state: Any = None,
    ) -> None:
        self.tv = tv
        self.xi = xi
        self.steps = steps
        self.paper_compat = paper_compat
        self.random_state = random_state

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> DROClassifier:
        """Fit on ``X`` (n, d), binary labels ``y`` (n,) and two groups ``sensitive_features`` (n,).

        Raises:
            UsageError: ``tv`` or ``xi`` out of range, no sensitive features, or not exactly two classes and two groups.
            ValueError: NaN, infinity, or lengths that differ.
        """
        if not 0 <= self.tv <= 1:
            raise UsageError(f"tv = {self.tv}: expected a share in [0, 1]")
        if not self.xi > 0:
            raise UsageError(f"xi = {self.xi}: expected a slack above 0")
        X, coded, a = self._coded(X, y, sensitive_features)
        random, xi = check_random_state(self.random_state), float(self.xi)
        while True:
            theta = _Game(X, coded, a, xi, 2 * self.tv, self.paper_compat).play(self.steps, random)
            positive = (logits(theta, X) >= 0).mean()
            if 0 < positive < 1 or xi > 1:  # a slack of 1 constrains nothing: constant decisions are the answer then
                break
            xi *= 2
        self.xi_ = xi
        self._set(theta)
        return self


@dataclass
class _Violation:
    """Of one group: how far its rate is beyond the slack, the sign of the excess, and the rate."""

    value: float
    sign: float
    rate: float


class _Game:
    """The state of the descent and ascent; group 1 comes first, as in the published code."""

    def __init__(self, X: Array, y: Array, a: Array, xi: float, radius: float, paper_compat: bool) -> None:
        self.X, self.y, self.xi, self.radius, self.paper_compat = X, y, xi, radius, paper_compat
        self.base_rate, self.row_weights = y.mean(), balanced_weights(y)
        self.rows = [np.flatnonzero(a == 1), np.flatnonzero(a == 0)]
        self.uniform = [np.full(len(rows), 1 / len(rows)) for rows in self.rows]
        self.theta = np.zeros(1 + X.shape[1])
        self.weights = [weights.copy() for weights in self.uniform]
        self.multipliers = np.zeros(2)

    def play(self, steps: int, random: np.random.RandomState) -> Array:
        """The feasible theta of least loss after ``steps`` steps; zeros if none was feasible."""
        best, kept = np.inf, np.zeros_like(self.theta)
        for _ in range(steps):
            self._step()
            z = logits(self.theta, self.X)
            p, loss = expit(z), float(self.row_weights @ cross_entropy(z, self.y))
            if loss <= best and all(found.value <= FEASIBLE for found in self._violations(p)):
                # Both groups draw, whatever the first one shows: the draws are part of the published order.
                feasible = [self._feasible_on_samples(group, p, random) for group in (0, 1)]
                if all(feasible):
                    best, kept = loss, self.theta.copy()
        return kept

    def _violations(self, p: Array) -> list[_Violation]:
        found = []
        for rows, weights in zip(self.rows, self.weights, strict=True):
            rate = float(weights @ p[rows] / weights.sum())
            excess = abs(self.base_rate - rate) - self.xi
            found.append(_Violation(max(excess, 0.0), np.sign(rate - self.base_rate) * (excess > 0), rate))
        return found

    def _step(self) -> None:
        """One step of all players at once, each with the gradient at the same point."""
        p = expit(logits(self.theta, self.X))
        violations = self._violations(p)
        residual = self.row_weights * (p - self.y)
        slopes = []
        for rows, weights, found, multiplier in zip(self.rows, self.weights, violations, self.multipliers, strict=True):
            push = multiplier * found.sign / weights.sum()
            residual[rows] += push * weights * p[rows] * (1 - p[rows])
            slopes.append(push * (p[rows] - found.rate))
        self.theta = self.theta - 1e-2 * gradient(self.X, residual)
        self.multipliers = np.maximum(self.multipliers + 0.1 * np.array([found.value for found in violations]), 0)
        project = published_projection if self.paper_compat else project_to_ball
        self.weights = [
            np.maximum(uniform + project(weights + 1e-2 * slope - uniform, self.radius), 0)
            for weights, uniform, slope in zip(self.weights, self.uniform, slopes, strict=True)
        ]

    def _feasible_on_samples(self, group: int, p: Array, random: np.random.RandomState) -> bool:
        rows, uniform = self.rows[group], self.uniform[group]
        steps = spacings(random.uniform(size=(SAMPLES, len(rows) + 1)))
        signs = 2 * random.randint(0, 2, (SAMPLES, len(rows))) - 1
        moved = uniform + (steps if self.paper_compat else self.radius * signs * steps)
        weights = np.maximum(moved, 0)
        rates = (weights @ p[rows]) / weights.sum(axis=1)
        return bool((np.abs(self.base_rate - rates) - self.xi <= 0).all())


def spacings(cuts: Array) -> Array:
    """Differences of sorted cuts of [0, 1], shape (k, n); the first and last *drawn* of the n + 1 become its ends.

    >>> spacings(np.array([[0.9, 0.25, 0.5, 0.3]]))
    array([[0.25, 0.25, 0.5 ]])
    """
    cuts = cuts.copy()
    cuts[:, 0], cuts[:, -1] = 0.0, 1.0
    return np.diff(np.sort(cuts, axis=1), axis=1)


def project_to_ball(v: Array, radius: float) -> Array:
    """The nearest point of the L1 ball (Duchi et al., ICML 2008).

    >>> project_to_ball(np.array([3.0, -1.0]), 2.0), project_to_ball(np.array([0.5, -1.0]), 2.0)
    (array([ 2., -0.]), array([ 0.5, -1. ]))
    """
    if np.abs(v).sum() <= radius:
        return v
    sizes = np.sort(np.abs(v))[::-1]
    sums = np.cumsum(sizes)
    last = np.flatnonzero(sizes * np.arange(1, len(sizes) + 1) > sums - radius)[-1] if radius > 0 else 0
    return np.sign(v) * np.maximum(np.abs(v) - (sums[last] - radius) / (last + 1), 0)


def published_projection(v: Array, radius: float) -> Array:
    """As published: absolute values where ``v`` is in the ball already."""
    return np.abs(v) if np.abs(v).sum() <= radius else project_to_ball(v, radius)

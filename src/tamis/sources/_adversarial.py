"""Logistic regression against an adversary that guesses the group from the logit."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit

from tamis.sources._linear import LinearClassifier
from tamis.sources._logistic import fit_logistic, gradient, logits

Array = np.ndarray[Any, Any]


class Adam:
    """Adam (Kingma and Ba 2015) for one vector: ``step`` returns what to subtract."""

    def __init__(self, size: int, rate: float) -> None:
        self.rate, self.count = rate, 0
        self.first, self.second = np.zeros(size), np.zeros(size)

    def step(self, slope: Array) -> Array:
        """The change for one gradient ``slope``; betas .9 and .999, epsilon 1e-8."""
        self.count += 1
        self.first = 0.9 * self.first + 0.1 * slope
        self.second = 0.999 * self.second + 0.001 * slope**2
        mean, spread = self.first / (1 - 0.9**self.count), self.second / (1 - 0.999**self.count)
        return self.rate * mean / (np.sqrt(spread) + 1e-8)


class AdversarialClassifier(LinearClassifier):
    """Logistic regression that also maximises the loss of an adversary (Wadsworth et al. 2018, arXiv 1807.00199).

    The adversary predicts the group from the logit z as ``v · z - b``.  Each of ``steps`` full-batch steps moves theta
    down ``mean CE(y) - eta · mean CE(a)`` and then (b, v), from (0, 0), down ``eta · mean CE(a)`` at the new theta,
    both with Adam.  Theta starts from a ridge logistic regression (C = 1).

    Args:
        eta: weight of the adversary's loss.
        steps: number of steps.
        learning_rate: of Adam.

    Attributes:
        groups_: the two values of the sensitive feature, sorted.
    """

    def __init__(self, *, eta: float = 0.5, steps: int = 1000, learning_rate: float = 1e-3) -> None:
        self.eta = eta
        self.steps = steps
        self.learning_rate = learning_rate

    def fit(self, X: Any, y: Any, *, sensitive_features: Any = None) -> AdversarialClassifier:
        """Fit on ``X`` (n, d), binary labels ``y`` (n,) and two groups ``sensitive_features`` (n,).

        Raises:
            UsageError: no sensitive features, or not exactly two classes and two groups.
            ValueError: NaN, infinity, or lengths that differ.
        """
        X, coded, a = self._coded(X, y, sensitive_features)
        n = len(coded)
        theta = fit_logistic(X, coded, C=1.0, max_iter=500).theta
        learner, adversary = Adam(len(theta), self.learning_rate), Adam(2, self.learning_rate)
        b = v = 0.0
        z = logits(theta, X)
        for _ in range(self.steps):
            residual = expit(z) - coded - self.eta * v * (expit(v * z - b) - a)
            theta = theta - learner.step(gradient(X, residual / n))
            z = logits(theta, X)
            guess = self.eta * (expit(v * z - b) - a) / n
            b, v = np.array([b, v]) - adversary.step(np.array([-guess.sum(), guess @ z]))
        self._set(theta)
        return self

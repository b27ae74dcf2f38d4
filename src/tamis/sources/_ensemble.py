"""One learner for each source, and the median of what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils.validation import check_is_fitted, validate_data

from tamis.errors import UsageError
from tamis.sources._groups import two_classes
from tamis.sources._inner import binary_tags, fit_inner, route
from tamis.sources._linear import checked
from tamis.sources._pooling import rows_of_sources
from tamis.sources._unaware import UnawareClassifier

Array = np.ndarray[Any, Any]


class RobustEnsembleClassifier(ClassifierMixin, BaseEstimator):
    """Positive where the median over the sources' classifiers of the probability is at least one half.

    Each source trains its own clone of ``estimator`` (baseline "robust ensemble" of FLEA, TMLR 2022).

    Args:
        estimator: a classifier with ``predict_proba``; None for :class:`UnawareClassifier`.

    Attributes:
        sources_: labels of the sources, sorted.
        estimators_: the fitted classifiers, in this order.
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def _inner(self) -> Any:
        return UnawareClassifier() if self.estimator is None else self.estimator

    def get_metadata_routing(self) -> Any:
        """What ``fit`` asks for, and what it hands on to the estimators."""
        return route(self, self._inner())

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sources: Any = None, **metadata: Any
    ) -> RobustEnsembleClassifier:
        """Fit one classifier for each label of ``sources`` (n,); arguments as :meth:`NaiveClassifier.fit`.

        Raises:
            UsageError: a source has one class only, or the estimator has no ``predict_proba``.
        """
        X, y = checked(self, X, y)
        self.classes_, _ = two_classes(y)
        self.sources_, parts = rows_of_sources(sources, len(y))
        if not hasattr(self._inner(), "predict_proba"):
            raise UsageError(f"{type(self._inner()).__name__} has no predict_proba, whose median the ensemble takes")
        for label, rows in zip(self.sources_, parts, strict=True):
            if len(np.unique(y[rows])) < 2:
                raise UsageError(f"source {label!r} has labels {y[rows[0]]!r} only; each source needs both classes")
        given = {"sensitive_features": sensitive_features, "sources": sources, **metadata}
        self.estimators_ = [fit_inner(self, clone(self._inner()), X, y, given, rows) for rows in parts]
        return self

    def __sklearn_tags__(self) -> Any:
        return binary_tags(super().__sklearn_tags__(), self._inner())

    def predict_proba(self, X: Any) -> Array:
        """The median probability, shape (n, 2), columns as ``classes_``."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        positive = np.median([model.predict_proba(X)[:, 1] for model in self.estimators_], axis=0)
        return np.column_stack([1 - positive, positive])

    def predict(self, X: Any) -> Array:
        """Labels, shape (n,)."""
        positive = self.predict_proba(X)[:, 1] >= 0.5
        return self.classes_[positive.astype(int)]

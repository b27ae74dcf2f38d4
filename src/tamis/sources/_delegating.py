"""What classifiers share that train another one: their predictions are those of the classifier inside."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from tamis.sources._inner import binary_tags, delegates
from tamis.sources._unaware import UnawareClassifier

Array = np.ndarray[Any, Any]


class DelegatingClassifier(ClassifierMixin, BaseEstimator):
    """A classifier for two classes around ``estimator``, which ``fit`` of the subclass clones and trains (abstract).

    Attributes:
        estimator_: the fitted classifier.
    """

    estimator: Any

    def _inner(self) -> Any:
        return UnawareClassifier() if self.estimator is None else self.estimator

    def __sklearn_tags__(self) -> Any:
        return binary_tags(super().__sklearn_tags__(), self._inner())

    def predict(self, X: Any) -> Array:
        """Labels of the fitted classifier, shape (n,)."""
        check_is_fitted(self)
        return self.estimator_.predict(X)

    @delegates("predict_proba")
    def predict_proba(self, X: Any) -> Array:
        """Probabilities of the fitted classifier, shape (n, 2)."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(X)

    @delegates("decision_function")
    def decision_function(self, X: Any) -> Array:
        """Scores of the fitted classifier (logits, where it is linear), shape (n,)."""
        check_is_fitted(self)
        return self.estimator_.decision_function(X)

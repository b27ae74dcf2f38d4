"""What every linear fair learner has in common: checks, the threshold at zero, probabilities."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from tamis.sources._groups import two_classes, two_groups
from tamis.sources._logistic import logits

Array = np.ndarray[Any, Any]


class LinearClassifier(ClassifierMixin, BaseEstimator):
    """A classifier ``classes_[1] if intercept_ + coef_ @ x >= 0 else classes_[0]``; zero counts as positive.

    Attributes:
        classes_: the two labels, sorted; the second is the positive one.
        coef_: float64, shape (1, d).
        intercept_: float64, shape (1,).
        n_features_in_: d.
    """

    @abstractmethod
    def fit(self, X: Any, y: Any) -> LinearClassifier:
        """Fit ``coef_`` and ``intercept_``."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def _coded(self, X: Any, y: Any, sensitive_features: Any) -> tuple[Array, Array, Array]:
        """Checked rows (n, d), labels (n,) and groups (n,), both as 0 and 1; sets ``classes_`` and ``groups_``."""
        X, y = checked(self, X, y)
        self.classes_, labels = two_classes(y)
        self.groups_, groups = two_groups(sensitive_features, X)
        return X, labels, groups

    def _set(self, theta: Array) -> None:
        self.coef_, self.intercept_ = theta[1:].reshape(1, -1), theta[:1].copy()

    @property
    def theta_(self) -> Array:
        """``[c, w]``: intercept and weights in one vector, shape (1 + d,)."""
        check_is_fitted(self)
        return np.concatenate([self.intercept_, self.coef_[0]])

    def decision_function(self, X: Any) -> Array:
        """Logits, float64, shape (n,)."""
        check_is_fitted(self)
        return logits(self.theta_, validate_data(self, X, dtype=np.float64, reset=False))

    def predict(self, X: Any) -> Array:
        """Labels, shape (n,)."""
        positive = self.decision_function(X) >= 0
        return self.classes_[positive.astype(int)]

    def predict_proba(self, X: Any) -> Array:
        """Logistic function of the logits, shape (n, 2), columns as ``classes_``."""
        positive = expit(self.decision_function(X))
        return np.column_stack([1 - positive, positive])


def checked(estimator: Any, X: Any, y: Any) -> tuple[Array, Array]:
    """``X`` as float64 without NaN or infinity and ``y`` as a column, both checked by scikit-learn."""
    X, y = validate_data(estimator, X, y, dtype=np.float64)
    from sklearn.utils.multiclass import check_classification_targets

    check_classification_targets(y)
    return X, y

"""Any classifier behind the sieve: scikit-learn has no step that drops rows, so this is a meta-estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import _safe_indexing
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_method_params, check_is_fitted

from tamis.sources._flea import FLEA
from tamis.sources._inner import takes


def _inner_has(method: str) -> Any:
    def check(self: FLEAClassifier) -> bool:
        getattr(getattr(self, "estimator_", self.estimator), method)
        return True

    return check


class FLEAClassifier(MetaEstimatorMixin, ClassifierMixin, BaseEstimator):
    """Fit a classifier on the rows of the sources that FLEA keeps.

    Args:
        estimator: any classifier of scikit-learn's kind.
        selector: a :class:`FLEA`; None for ``FLEA()``.

    Attributes:
        selector_: the fitted selector.
        estimator_: the fitted classifier.
        classes_: as the classifier's.
        n_features_in_: columns of X.

    Source: see :class:`FLEA`.
    """

    def __init__(self, estimator: Any, *, selector: FLEA | None = None) -> None:
        self.estimator = estimator
        self.selector = selector

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sensitive_features: ArrayLike | None = None,
        sources: ArrayLike | None = None,
        **fit_params: Any,
    ) -> FLEAClassifier:
        """Choose sources, then fit the classifier on their rows.

        Args:
            X: ``(n, d)``; the selector needs numbers.
            y: ``(n,)`` with two values.
            sensitive_features: ``(n,)`` with two values; also handed to the classifier: with metadata routing if it
                requests them, without if its ``fit`` has a parameter of that name (or, outside of scikit-learn, any
                ``**keywords``, as Fairlearn's reductions).
            sources: ``(n,)``, the source of each row; None keeps all rows.
            **fit_params: for the classifier, such as ``sample_weight``; those with n rows lose what was not kept.

        Raises:
            UsageError: see :meth:`FLEA.fit`.
        """
        selector = FLEA() if self.selector is None else clone(self.selector)
        self.selector_ = selector.fit(X, y, sensitive_features=sensitive_features, sources=sources)
        params = self._for_estimator(sensitive_features, fit_params)
        if sources is not None:
            rows = np.flatnonzero(self.selector_.row_mask(sources))
            params = _check_method_params(X, params, indices=rows)
            X, y = _safe_indexing(X, rows), _safe_indexing(y, rows)
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        # Fairlearn's reductions have no classes_.
        self.classes_ = getattr(self.estimator_, "classes_", self.selector_.classes_)
        self.n_features_in_ = self.selector_.n_features_in_
        if hasattr(self.selector_, "feature_names_in_"):
            self.feature_names_in_ = self.selector_.feature_names_in_
        return self

    def _for_estimator(self, sensitive_features: Any, fit_params: dict[str, Any]) -> dict[str, Any]:
        given = {} if sensitive_features is None else {"sensitive_features": sensitive_features}
        if _routing_enabled():
            return dict(process_routing(self, "fit", **given, **fit_params).estimator.fit)
        if not takes(self.estimator, "sensitive_features"):
            given = {}
        return {**given, **{name: value for name, value in fit_params.items() if value is not None}}

    def predict(self, X: Any, **predict_params: Any) -> Any:
        """Classes ``(n,)`` of the fitted classifier; other arguments are handed to it."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict(X, **predict_params)

    @available_if(_inner_has("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Probabilities ``(n, classes)`` of the fitted classifier."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.predict_proba(X)

    @available_if(_inner_has("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Decision values of the fitted classifier."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.decision_function(X)

    def get_metadata_routing(self) -> MetadataRouter:
        """Requests of this estimator (``sensitive_features``, ``sources``) and of the classifier's ``fit``."""
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return MetadataRouter(owner=self).add_self_request(self).add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        return tags

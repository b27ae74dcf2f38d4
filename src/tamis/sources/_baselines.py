"""Baselines that pool sources and then train any learner: all of them, the clean ones, or those that look alike."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import clone

from tamis.errors import UsageError
from tamis.sources._delegating import DelegatingClassifier
from tamis.sources._groups import two_classes
from tamis.sources._inner import fit_inner, route
from tamis.sources._linear import checked
from tamis.sources._pooling import known_sources, rows_of_sources

Array = np.ndarray[Any, Any]


class PoolingClassifier(DelegatingClassifier):
    """Keeps some sources, pools their rows and fits ``estimator``; subclasses say which.

    Attributes:
        sources_: labels of the sources, sorted.
        support_: bool, shape (N,): which of them were kept.
        estimator_: the fitted classifier.
    """

    @abstractmethod
    def _kept(self, X: Array, y: Array, labels: Array, rows: list[Array]) -> Array:
        """Which sources are kept: bool, shape (N,); ``y`` is 0 or 1."""

    def get_metadata_routing(self) -> Any:
        """What ``fit`` asks for, and what it hands on to the estimator."""
        return route(self, self._inner())

    def fit(
        self, X: Any, y: Any, *, sensitive_features: Any = None, sources: Any = None, **metadata: Any
    ) -> PoolingClassifier:
        """Select sources and fit on their rows.

        Args:
            X: shape (n, d).
            y: binary labels, shape (n,).
            sensitive_features: one value for each row; handed on to the estimator if it takes them.
            sources: one label for each row; None for a single source.
            **metadata: further values for each row, such as ``sample_weight``, for the estimator.

        Raises:
            UsageError: not exactly two classes, or what the baseline itself refuses.
        """
        X, y = checked(self, X, y)
        self.classes_, coded = two_classes(y)
        self.sources_, rows = rows_of_sources(sources, len(y))
        self.support_ = self._kept(X, coded, self.sources_, rows)
        pooled = np.concatenate([part for part, keep in zip(rows, self.support_, strict=True) if keep])
        given = {"sensitive_features": sensitive_features, "sources": sources, **metadata}
        self.estimator_ = fit_inner(self, clone(self._inner()), X, y, given, pooled)
        return self


class NaiveClassifier(PoolingClassifier):
    """All rows of all sources: what one does who trusts everybody.

    Fitted on sources before they were manipulated it is the baseline "original" of the published tables.

    Args:
        estimator: any classifier; None for :class:`UnawareClassifier`.
    """

    def __init__(self, estimator: Any = None) -> None:
        self.estimator = estimator

    def _kept(self, X: Array, y: Array, labels: Array, rows: list[Array]) -> Array:
        return np.ones(len(labels), dtype=bool)


class OracleClassifier(PoolingClassifier):
    """The rows of the sources that are known to be clean: what the best filter could reach.

    Args:
        estimator: any classifier; None for :class:`UnawareClassifier`.
        clean: labels of the clean sources; None for all.
    """

    def __init__(self, estimator: Any = None, *, clean: Any = None) -> None:
        self.estimator = estimator
        self.clean = clean

    def _kept(self, X: Array, y: Array, labels: Array, rows: list[Array]) -> Array:
        if self.clean is None:
            return np.ones(len(labels), dtype=bool)
        kept = known_sources(self.clean, labels, "clean")
        if not kept.any():
            raise UsageError("clean is empty; expected the labels of at least one source")
        return kept

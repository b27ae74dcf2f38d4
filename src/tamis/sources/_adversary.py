"""An adversary as a transformer of rows, labels and groups."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from tamis.errors import UsageError
from tamis.sources._groups import group_column
from tamis.sources._manipulations import ADVERSARIES, manipulate
from tamis.sources._pooling import known_sources, rows_of_sources
from tamis.sources._source import Array, Source, as_source


class Manipulated(NamedTuple):
    """Rows of all sources after an adversary, source after source in the order of their labels.

    ``X`` float64 (n, d), ``y`` and ``sensitive_features`` int64 (n,), ``sources`` (n,) labels.
    """

    X: Array
    y: Array
    sensitive_features: Array
    sources: Array


class Adversary(BaseEstimator):
    """Manipulates the rows of some sources as one of the eleven published adversaries does (FLEA, TMLR 2022).

    Args:
        name: one of :data:`ADVERSARIES`, such as ``"flip#protected"``.
        bad_sources: labels of the sources that it manipulates.
        sensitive_column: column of ``X`` that holds the group and changes with it; None looks for one that equals the
            group, and leaves ``X`` alone if there is none; False leaves ``X`` alone.
        random_state: seed, or a ``numpy.random.RandomState`` that is advanced; a seed gives the published draws.

    Attributes:
        applied_: what was done to each source, by label, after :meth:`transform`; for "random" the adversary drawn.
    """

    def __init__(
        self,
        name: str = "flip#protected",
        *,
        bad_sources: Any = (),
        sensitive_column: int | Literal[False] | None = None,
        random_state: Any = None,
    ) -> None:
        self.name = name
        self.bad_sources = bad_sources
        self.sensitive_column = sensitive_column
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None, *, sensitive_features: Any = None, sources: Any = None) -> Adversary:
        """Nothing to learn; checks the name.

        Raises:
            UsageError: an unknown name.
        """
        if self.name not in ADVERSARIES:
            raise UsageError(f"adversary {self.name!r}: expected one of {', '.join(ADVERSARIES)}")
        return self

    def transform(self, X: Any, y: Any, *, sensitive_features: Any, sources: Any) -> Manipulated:
        """Manipulated copies; the inputs stay as they are.

        Args:
            X: numbers, shape (n, d).
            y: 0 or 1, shape (n,).
            sensitive_features: 0 or 1, shape (n,).
            sources: labels, shape (n,).

        Raises:
            UsageError: values other than 0 and 1, an unknown source or adversary, or a source without the rows that the
                adversary needs (``randomanchor`` without an anchor).
        """
        self.fit(X)
        whole = as_source(X, y, sensitive_features)
        labels, rows = rows_of_sources(sources, len(whole.y))
        bad: list[int] = []
        if len(self.bad_sources):
            bad = np.flatnonzero(known_sources(self.bad_sources, labels, "bad_sources")).tolist()
        parts = [Source(whole.X[part], whole.y[part], whole.a[part]) for part in rows]
        random = check_random_state(self.random_state)
        changed, done = manipulate(parts, self.name, bad, self._column(whole), random)
        self.applied_ = dict(zip(labels.tolist(), done, strict=True))
        return Manipulated(
            np.concatenate([part.X for part in changed]),
            np.concatenate([part.y for part in changed]),
            np.concatenate([part.a for part in changed]),
            np.repeat(labels, [len(part.y) for part in changed]),
        )

    def _column(self, whole: Source) -> int | None:
        if self.sensitive_column is False:
            return None
        if self.sensitive_column is None:
            same = np.flatnonzero((whole.a[:, None] == whole.X).all(axis=0))
            return int(same[-1]) if len(same) else None
        return group_column(whole.X, whole.a, self.sensitive_column)

"""What comparing sources leaves behind: distances, scores, the sources to keep, and what is needed to add one more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from tamis.sources._choice import choose
from tamis.sources._coding import Coding
from tamis.sources._matrices import COMPONENTS, Estimate, Matrices, Measures, fill
from tamis.sources._packing import PackedSource, SourceSummary
from tamis.sources._parameters import measures_of


class ComparedSources(BaseEstimator):
    """The fitted half of :class:`~tamis.sources.FLEA` (abstract), whose docstring describes every attribute."""

    n_clean: int | float | str | None
    aggregation: str
    source_sizes_: NDArray[np.int64]
    groups_: NDArray[Any] | None
    _coding: Coding
    _packed: list[PackedSource]
    _references: NDArray[np.int64] | None

    def _measures(self) -> Measures:
        return measures_of(self.get_params(deep=False), self.groups_ is not None)

    def _compare(
        self,
        matrices: Matrices,
        summaries: Sequence[SourceSummary],
        pairs: NDArray[np.int64],
        estimate: Estimate,
    ) -> None:
        """Fill ``matrices`` and everything that follows from them."""
        cells = np.stack([summary.cells for summary in summaries]) / self.source_sizes_[:, None]
        self.positive_shares_ = cells[:, 2] + cells[:, 3]
        self.group_shares_ = cells[:, 1] + cells[:, 3] if self.groups_ is not None else np.full(len(cells), np.nan)
        fill(matrices, summaries, pairs, self._measures(), estimate)
        self._matrices = matrices
        self.discrepancy_, self.disparity_, self.disbalance_ = (matrices.parts.get(name) for name in COMPONENTS)
        self.n_not_converged_ = matrices.not_converged
        self.distances_ = matrices.distances(self.aggregation)
        choice = choose(self.distances_, self.n_clean)
        self.support_, self.scores_, self.ranking_ = choice.support, choice.scores, choice.ranking
        self.n_clean_ = int(choice.support.sum())

    def _forget(self) -> None:
        """Drop what an earlier fit left for add_source."""
        for left_over in ("_packed", "_matrices", "_references", "_coding"):
            if hasattr(self, left_over):
                delattr(self, left_over)

    def _keep_all(self, y: NDArray[Any], a: NDArray[Any] | None) -> None:
        """Nothing to compare: one source, or none named."""
        self.classes_ = np.unique(y)
        self.groups_ = None if a is None else np.unique(a)
        self.support_, self.n_clean_, self.n_not_converged_ = np.ones(1, dtype=bool), 1, 0
        self.scores_, self.ranking_ = np.zeros(1), np.ones(1, dtype=np.int64)
        self.distances_ = self.discrepancy_ = np.zeros((1, 1))
        self.disparity_ = self.disbalance_ = None if a is None else np.zeros((1, 1))
        self.positive_shares_ = np.array([np.mean(y == self.classes_[-1])])
        self.group_shares_ = np.array([np.nan if a is None else np.mean(a == np.unique(a)[-1])])
        self._forget()

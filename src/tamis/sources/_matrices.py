"""Which pairs of a set of sources are compared, and the matrices from the estimates of these pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from tamis.sources._packing import SourceSummary
from tamis.sources._pair import Wanted

Floats = NDArray[np.float64]
# Estimates pairs ``(P, 2)``: float64 ``(P, 4)`` and int64 ``(P,)`` as tamis.sources._compare.compare.
Estimate = Callable[[NDArray[np.int64], Wanted], tuple[Floats, NDArray[np.int64]]]

COMPONENTS = ("discrepancy", "disparity", "disbalance")
MOST_DISPARITY = {"signed": 2.0, "published": 1.0}


@dataclass
class Matrices:
    """Component -> symmetric float64 ``(N, N)`` with a zero diagonal, NaN where a pair was not compared."""

    parts: dict[str, Floats]
    not_converged: int = 0

    def distances(self, aggregation: str) -> Floats:
        """The sum or the maximum of the components."""
        stacked = np.stack([self.parts[name] for name in COMPONENTS if name in self.parts])
        return stacked.sum(axis=0) if aggregation == "sum" else stacked.max(axis=0)


@dataclass(frozen=True)
class Measures:
    """Which components to compute, and how."""

    components: tuple[str, ...]
    disparity: str = "signed"
    gtol: float = 1e-4
    max_iter: int = 500

    @property
    def wanted(self) -> Wanted:
        """The estimates that these components need."""
        with_disparity = "disparity" in self.components
        return Wanted(
            discrepancy="discrepancy" in self.components,
            signed=with_disparity and self.disparity == "signed",
            published=with_disparity and self.disparity == "published",
            gtol=self.gtol,
            max_iter=self.max_iter,
        )


def empty_matrices(sources: int, measures: Measures) -> Matrices:
    """Matrices without a single comparison."""
    blank = np.full((sources, sources), np.nan)
    np.fill_diagonal(blank, 0.0)
    return Matrices({name: blank.copy() for name in measures.components})


def enlarged(matrices: Matrices, measures: Measures) -> Matrices:
    """The matrices with room for one more source."""
    sources = len(next(iter(matrices.parts.values())))
    larger = empty_matrices(sources + 1, measures)
    for name, part in larger.parts.items():
        part[:sources, :sources] = matrices.parts[name]
    larger.not_converged = matrices.not_converged
    return larger


def drawn_references(sources: int, n_references: int | None, random_state: Any) -> NDArray[np.int64] | None:
    """Positions of the sources that all others are compared with, sorted; None if that is every one."""
    if n_references is None or n_references >= sources:
        return None
    drawn = check_random_state(random_state).permutation(sources)[:n_references]
    return np.sort(drawn).astype(np.int64)


def pairs_to_compare(sources: int, references: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """int64 ``(P, 2)``: every pair once, or those with a reference among the two."""
    i, j = np.triu_indices(sources, 1)
    if references is not None:
        wanted = np.isin(i, references) | np.isin(j, references)
        i, j = i[wanted], j[wanted]
    return np.stack([i, j], axis=1).astype(np.int64)


def fill(
    matrices: Matrices,
    summaries: Sequence[SourceSummary],
    pairs: NDArray[np.int64],
    measures: Measures,
    estimate: Estimate,
) -> None:
    """Compare ``pairs`` (int64 ``(P, 2)``) and write what is found into ``matrices``.

    A source without a group gets the largest possible disparity to all others.
    """
    wanted = measures.wanted
    whole: NDArray[np.bool_] = np.ones(len(pairs), dtype=bool)
    if wanted.signed or wanted.published:
        complete = np.array([min(summary.group_sizes) > 0 for summary in summaries], dtype=bool)
        whole = complete[pairs[:, 0]] & complete[pairs[:, 1]]
    without_groups = replace(wanted, signed=False, published=False)
    for some, asked in ((whole, wanted), (~whole, without_groups)):
        values, failed = estimate(pairs[some], asked)
        matrices.not_converged += int(failed.sum())
        disparity = values[:, 1] if measures.disparity == "signed" else values[:, 2:].max(axis=1)
        if asked is without_groups:
            disparity = np.full(int(some.sum()), MOST_DISPARITY[measures.disparity])
        _put(matrices, "discrepancy", pairs[some], values[:, 0])
        _put(matrices, "disparity", pairs[some], disparity)
    if "disbalance" in matrices.parts:
        share = np.array([summary.group_sizes[1] / summary.size for summary in summaries])
        _put(matrices, "disbalance", pairs, np.abs(share[pairs[:, 0]] - share[pairs[:, 1]]))


def _put(matrices: Matrices, name: str, pairs: NDArray[np.int64], values: Floats) -> None:
    if name in matrices.parts:
        matrix = matrices.parts[name]
        matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = values

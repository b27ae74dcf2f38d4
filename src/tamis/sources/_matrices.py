"""The matrices of a set of sources from estimates of their pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tamis.sources._packing import PackedSource
from tamis.sources._pair import Wanted
from tamis.sources._tiles import compare_in_tiles

Floats = NDArray[np.float64]

COMPONENTS = ("discrepancy", "disparity", "disbalance")
MOST_DISPARITY = {"signed": 2.0, "published": 1.0}


@dataclass
class Matrices:
    """Symmetric float64 ``(N, N)``, zero diagonal, NaN where a pair was not compared; None where not asked for."""

    discrepancy: Floats | None
    disparity: Floats | None
    disbalance: Floats | None
    not_converged: int = 0

    def distances(self, aggregation: str) -> Floats:
        """The sum or the maximum of the components."""
        parts = [m for m in (self.discrepancy, self.disparity, self.disbalance) if m is not None]
        stacked = np.stack(parts)
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
    return Matrices(*(blank.copy() if name in measures.components else None for name in COMPONENTS))


def enlarged(matrices: Matrices, measures: Measures) -> Matrices:
    """The matrices with room for one more source."""

    def grown(old: Floats | None, new: Floats | None) -> Floats | None:
        if old is not None and new is not None:
            new[: len(old), : len(old)] = old
        return new

    olds = (matrices.discrepancy, matrices.disparity, matrices.disbalance)
    blank = empty_matrices(next(len(m) for m in olds if m is not None) + 1, measures)
    news = (blank.discrepancy, blank.disparity, blank.disbalance)
    return Matrices(*(grown(o, n) for o, n in zip(olds, news, strict=True)), matrices.not_converged)


def fill(
    matrices: Matrices,
    packed: Sequence[PackedSource],
    pairs: NDArray[np.int64],
    measures: Measures,
    n_jobs: int | None = None,
    progress: bool = False,
) -> None:
    """Compare ``pairs`` (int64 ``(P, 2)``) and write what is found into ``matrices``.

    A source without a group gets the largest possible disparity to all others.
    """
    complete = np.array([min(source.summary.group_sizes) > 0 for source in packed], dtype=bool)
    whole = (
        complete[pairs].all(axis=1)
        if measures.wanted.signed or measures.wanted.published
        else np.ones(len(pairs), bool)
    )
    for some, wanted in ((whole, measures.wanted), (~whole, replace(measures.wanted, signed=False, published=False))):
        values, failed = compare_in_tiles(packed, pairs[some], wanted, n_jobs, progress)
        matrices.not_converged += int(failed.sum())
        disparity = values[:, 1] if measures.disparity == "signed" else values[:, 2:].max(axis=1)
        if not (wanted.signed or wanted.published):
            disparity = np.full(int(some.sum()), MOST_DISPARITY[measures.disparity])
        _put(matrices.discrepancy, pairs[some], values[:, 0])
        _put(matrices.disparity, pairs[some], disparity)
    if matrices.disbalance is not None:
        share = np.array([source.summary.group_sizes[1] / source.summary.size for source in packed])
        _put(matrices.disbalance, pairs, np.abs(share[pairs[:, 0]] - share[pairs[:, 1]]))


def _put(matrix: Floats | None, pairs: NDArray[np.int64], values: Floats) -> None:
    if matrix is not None:
        matrix[pairs[:, 0], pairs[:, 1]] = matrix[pairs[:, 1], pairs[:, 0]] = values

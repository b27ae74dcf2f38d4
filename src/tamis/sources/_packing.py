"""One source without its duplicate rows, and the few numbers that it publishes.

Every source is centred at its own mean, so that nothing about a pair of sources depends on a third one, and large means
cost no digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError
from tamis.sources._merging import Floats, merge_rows


@dataclass(frozen=True)
class SourceSummary:
    """What a source tells about itself.

    Attributes:
        size: number of rows n.
        cells: int64 ``(4,)``, rows with (y, a) = (0, 0), (0, 1), (1, 0), (1, 1).
        centre: float64 ``(d,)``, what was subtracted from every column: its mean, or its value where it is constant.
        mean: float64 ``(d,)``, mean of the centred columns, which is 0 but for rounding.
        variance: float64 ``(d,)``, population variance; exactly 0 for a constant column.
    """

    size: int
    cells: NDArray[np.int64]
    centre: Floats
    mean: Floats
    variance: Floats

    @property
    def group_sizes(self) -> tuple[int, int]:
        """Rows with a = 0 and with a = 1."""
        return int(self.cells[0] + self.cells[2]), int(self.cells[1] + self.cells[3])

    @property
    def key(self) -> tuple[float, ...]:
        """Orders two sources by what they are instead of by where they stand."""
        return (self.size, *self.cells.tolist(), *self.centre.tolist(), *self.variance.tolist())


@dataclass(frozen=True)
class PackedSource:
    """The unique rows of a source with their counts.

    Attributes:
        rows: float64 ``(U, d)``, unique rows minus the centre, in a fixed order.
        counts: float64 ``(U, 4)``, how often each row occurs with (y, a) = (0, 0), (0, 1), (1, 0), (1, 1).
        summary: what the source publishes.
    """

    rows: Floats
    counts: Floats
    summary: SourceSummary


def pack_source(X: Floats, y: NDArray[np.int64], a: NDArray[np.int64] | None = None) -> PackedSource:
    """Merge equal rows and centre them; the order of the rows changes nothing.

    Args:
        X: float64 ``(n, d)``, n at least 1, finite.
        y: ``(n,)`` of 0 and 1.
        a: ``(n,)`` of 0 and 1; None puts every row into group 0.

    Raises:
        UsageError: the numbers are so large that their variance is not finite.
    """
    merged = merge_rows(X, 2 * y + (0 if a is None else a))
    variance = merged.statistics[2]
    if not np.isfinite(variance).all():  # which it is not where a row is not either
        worst = int(np.flatnonzero(~np.isfinite(variance))[0])
        raise UsageError(
            f"column {worst} of X holds numbers too large for a variance; scale it (values up to 1e150 fit)"
        )
    cells = merged.counts.sum(axis=0).astype(np.int64)
    return PackedSource(merged.rows, merged.counts, SourceSummary(len(X), cells, *merged.statistics))


@dataclass(frozen=True)
class PairScaler:
    """Mean and standard deviation of the stacked rows of two sources, seen from the centre of each.

    Attributes:
        shifts: two float64 ``(d,)``, mean of the pair minus the centre of the first and of the second source.
        scale: float64 ``(d,)``, population standard deviation of the pair; 1 for a constant column.
    """

    shifts: tuple[Floats, Floats]
    scale: Floats


def pair_scaler(first: SourceSummary, second: SourceSummary) -> PairScaler:
    """The scaler of a pair from the summaries alone (Chan, Golub and LeVeque 1979)."""
    share = second.size / (first.size + second.size)
    gap = (second.centre - first.centre) + (second.mean - first.mean)
    variance = (1 - share) * first.variance + share * second.variance + share * (1 - share) * gap * gap
    return PairScaler(
        (first.mean + share * gap, second.mean - (1 - share) * gap), np.where(variance > 0, np.sqrt(variance), 1.0)
    )

"""One source without its duplicate rows, and the few numbers that it publishes.

Every source is centred at its own mean, so that nothing about a pair of sources depends on a third one, and large means
cost no digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError

Floats = NDArray[np.float64]

# Columns of ``PackedSource.counts`` and entries of ``SourceSummary.cells``: 2 * y + a.
CELLS = 4


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
    X = np.ascontiguousarray(X, dtype=np.float64) + 0.0  # a negative zero becomes zero
    n = len(X)
    first, inverse = _unique_rows(X)
    cell = 2 * y + (0 if a is None else a)
    counts = np.bincount(CELLS * inverse + cell, minlength=CELLS * len(first)).reshape(-1, CELLS)
    rows, repeats = X[first], counts.sum(axis=1).astype(np.float64)
    low, high = rows.min(axis=0), rows.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = np.where(low == high, low, repeats @ rows / n)
        rows = rows - centre
        mean = repeats @ rows / n
        variance = np.maximum(repeats @ (rows * rows) / n - mean * mean, 0.0)
    if not (np.isfinite(variance).all() and np.isfinite(rows).all()):
        worst = int(np.flatnonzero(~np.isfinite(variance))[0]) if not np.isfinite(variance).all() else 0
        raise UsageError(
            f"column {worst} of X holds numbers too large for a variance; scale it (values up to 1e150 fit)"
        )
    summary = SourceSummary(n, counts.sum(axis=0), centre, mean, variance)
    return PackedSource(rows, counts.astype(np.float64), summary)


@cache
def _multipliers(columns: int) -> NDArray[np.uint64]:
    """Random odd numbers, the same ones always."""
    return np.random.default_rng(0).integers(0, 2**63, columns, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _unique_rows(X: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First places of the unique rows, in an order that depends on their content only, and which of them each row is.

    Rows are sorted by a 64-bit hash, several times faster than by their bytes; should two rows share one, by bytes.
    """
    bits = X.view(np.uint64)
    # Short numbers have zeros in their low bits, where multiplication mixes nothing: the high bits are copied there.
    keys = (bits ^ (bits >> np.uint64(32))) @ _multipliers(X.shape[1])
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if not (bits[first[inverse]] == bits).all():
        as_bytes = X.view(np.dtype((np.void, X.dtype.itemsize * X.shape[1]))).reshape(len(X))
        _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    return first, inverse.reshape(len(X))


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

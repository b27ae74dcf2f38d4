"""Equal rows of a source merged and centred: natively where the extension is loaded, with NumPy otherwise.

Both put the unique rows into the same order, which depends on what the rows hold and not on where they stood; centre
and variance agree up to rounding.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tamis.kernels import native_available

Floats = NDArray[np.float64]

# Columns of ``Merged.counts``: 2 * y + a.
CELLS = 4


class Merged(NamedTuple):
    """The unique rows of a source.

    Attributes:
        rows: float64 ``(U, d)``, minus the centre.
        counts: float64 ``(U, 4)``, how often each row occurs in each cell.
        statistics: float64 ``(3, d)``: the centre (the mean, or the value of a constant column), mean and population
            variance of the centred columns.
    """

    rows: Floats
    counts: Floats
    statistics: Floats


def merge_rows(X: Floats, cells: NDArray[np.int64]) -> Merged:
    """Merge equal rows; a negative zero equals zero.

    Args:
        X: float64 ``(n, d)``, n at least 1, finite; too large numbers give a variance that is not finite.
        cells: ``(n,)``, 0 to 3.
    """
    return (merge_natively if native_available() else merge_with_numpy)(np.ascontiguousarray(X, np.float64), cells)


def merge_natively(X: Floats, cells: NDArray[np.int64]) -> Merged:
    """By a hash table (csrc/source_packing.h); the interpreter lock is released meanwhile."""
    given = (_writable(X), _writable(np.ascontiguousarray(cells, np.int64)), _multipliers(X.shape[1]).view(np.int64))
    return Merged(*(tensor.numpy() for tensor in torch.ops.tamis.merge_rows(*map(torch.from_numpy, given))))


def _writable(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy where it is read-only, about which torch would warn."""
    return array if array.flags.writeable else array.copy()


def merge_with_numpy(X: Floats, cells: NDArray[np.int64]) -> Merged:
    """The reference."""
    X = X + 0.0  # a negative zero becomes zero
    n = len(X)
    first, inverse = _unique_rows(X)
    counts = np.bincount(CELLS * inverse + cells, minlength=CELLS * len(first)).reshape(-1, CELLS).astype(np.float64)
    rows, repeats = X[first], counts.sum(axis=1)
    low, high = rows.min(axis=0), rows.max(axis=0)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = np.where(low == high, low, repeats @ rows / n)
        rows = rows - centre
        mean = repeats @ rows / n
        variance = np.maximum(repeats @ (rows * rows) / n - mean * mean, 0.0)
    return Merged(rows, counts, np.stack([centre, mean, variance]))


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

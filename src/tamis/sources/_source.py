"""One source as arrays, and the checks of what adversaries work on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tamis.errors import UsageError

Array = np.ndarray[Any, Any]


class Source(NamedTuple):
    """Rows of one provider: ``X`` float64 (n, d), ``y`` and ``a`` int64 (n,) with values 0 and 1."""

    X: Array
    y: Array
    a: Array


def as_source(X: Any, y: Any, a: Any) -> Source:
    """Copies of the arrays, checked.

    Raises:
        UsageError: shapes that do not fit, NaN or infinity, or labels and groups other than 0 and 1.
    """
    X = np.array(X, dtype=np.float64)
    if X.ndim != 2:
        raise UsageError(f"X has shape {X.shape}; expected rows and columns")
    columns = []
    for name, given in (("y", y), ("sensitive_features", a)):
        column = np.asarray(given).reshape(-1)
        if len(column) != len(X):
            raise UsageError(f"{name} has {len(column)} values for {len(X)} rows of X")
        if not np.isin(column, (0, 1)).all():
            raise UsageError(f"{name} has values other than 0 and 1: {np.unique(column)[:5].tolist()}")
        columns.append(column.astype(np.int64))
    if not np.isfinite(X).all():
        raise UsageError("X has NaN or infinite values")
    return Source(X, *columns)


def pooled(sources: Sequence[Source]) -> Source:
    """All rows of the sources, in their order."""
    return Source(
        np.concatenate([source.X for source in sources]),
        np.concatenate([source.y for source in sources]),
        np.concatenate([source.a for source in sources]),
    )


def with_groups(source: Source, a: Array, column: int | None) -> Source:
    """The source with other groups, also in the column of ``X`` that holds them."""
    X = source.X.copy()
    if column is not None:
        X[:, column] = a
    return Source(X, source.y.copy(), a.copy())

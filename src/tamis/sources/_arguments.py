"""What a caller passes, checked and turned into arrays; every refusal is one clear sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from tamis.errors import UsageError

BINARY = "{name} must have two values, got {count}: {shown}; merge classes or groups into two"
MISSING = "{name} has {count} missing values (the first in row {row}); fill or drop them"
NOT_FINITE = (
    "X holds NaN or infinite values: {count}, the first in row {row}, column {column} (NaN or inf); "
    "fill them or drop these rows"
)
LENGTH = "{name} has {got} rows and X {expected}"
NOT_NUMERIC = (
    "X must be numeric, but holds text in column{s} {shown}; encode categories as 0/1 columns (tamis sieve does)"
)


def check_numeric(X: Any) -> None:
    """Refuse data frames with text columns by their names."""
    dtypes = getattr(X, "dtypes", None)
    if dtypes is None or not hasattr(X, "columns"):
        return
    text = [str(c) for c, t in zip(X.columns, dtypes, strict=True) if getattr(t, "kind", "O") not in "biuf"]
    if text:
        shown = ", ".join(map(repr, text[:5])) + (", ..." if len(text) > 5 else "")
        raise UsageError(NOT_NUMERIC.format(s="s" if len(text) > 1 else "", shown=shown))


def check_finite(X: NDArray[np.float64]) -> None:
    """Refuse NaN and infinities, naming the first."""
    bad = ~np.isfinite(X)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise UsageError(NOT_FINITE.format(count=int(bad.sum()), row=row, column=column))


def checked_rows(
    estimator: Any, X: Any, y: Any, sensitive_features: Any, sources: Any, *, reset: bool = True
) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any] | None, NDArray[Any]]:
    """What ``fit`` of a selector gets, as arrays: X float64 ``(n, d)``, y, groups (or None) and sources ``(n,)``.

    Args:
        estimator: remembers the columns of X, or (``reset=False``) checks that they are those it remembers.
        X, y, sensitive_features, sources: as given; without ``sources`` all rows are of source 0.
        reset: see ``estimator``.

    Raises:
        UsageError: a value is missing, infinite or no number, or lengths differ.
    """
    check_numeric(X)
    X, y = validate_data(
        estimator, X, y, reset=reset, dtype=np.float64, ensure_all_finite=False, y_numeric=False, multi_output=False
    )
    check_finite(X)
    y = column_of(y, "y", len(X))
    a = None if sensitive_features is None else column_of(sensitive_features, "sensitive_features", len(X))
    s = np.zeros(len(X), dtype=np.int64) if sources is None else column_of(sources, "sources", len(X))
    return X, y, a, s


def column_of(values: Any, name: str, rows: int | None = None) -> NDArray[Any]:
    """A one-dimensional array without missing values.

    Raises:
        UsageError: it is no column, of another length than ``rows``, or a value is missing.
    """
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UsageError(f"{name} must be one column, got an array of shape {array.shape}")
    if rows is not None and len(array) != rows:
        raise UsageError(LENGTH.format(name=name, got=len(array), expected=rows))
    missing = _missing(array)
    if missing.any():
        raise UsageError(MISSING.format(name=name, count=int(missing.sum()), row=int(np.flatnonzero(missing)[0])))
    if array.dtype == object:
        kinds = {str if isinstance(v, str) else float for v in array.tolist()}
        array = array.astype(str) if kinds != {float} else np.array(array.tolist())
    return array


def _missing(array: NDArray[Any]) -> NDArray[np.bool_]:
    if array.dtype.kind in "fc":
        return np.isnan(array)
    if array.dtype == object:
        # NaN, NaT and pandas.NA are not equal to themselves, or do not know.
        return np.array([v is None or type(v).__name__ == "NAType" or v != v for v in array.tolist()], dtype=bool)
    return np.zeros(len(array), dtype=bool)


def two_values(values: NDArray[Any], name: str) -> NDArray[Any]:
    """The two values of a binary column, sorted; a column that is constant 0 or 1 has the other value too.

    Raises:
        UsageError: there are more than two.
    """
    levels = np.unique(values)
    if len(levels) == 1 and levels.dtype.kind in "biuf" and levels[0] in (0, 1):
        return np.array([0, 1], dtype=levels.dtype)
    if len(levels) > 2:
        shown = ", ".join(repr(v) for v in levels[:5].tolist()) + (", ..." if len(levels) > 5 else "")
        raise UsageError(BINARY.format(name=name, count=len(levels), shown=shown))
    return levels


def encode(values: NDArray[Any], levels: NDArray[Any], name: str) -> NDArray[np.int64]:
    """0 for the first level, 1 for the second.

    Raises:
        UsageError: another value occurs.
    """
    known = np.isin(values, levels)
    if not known.all():
        raise UsageError(
            f"{name} holds {values[~known].tolist()[0]!r}, which was not among {levels.tolist()} when fitted"
        )
    if len(levels) == 1:
        return np.zeros(len(values), dtype=np.int64)
    return (values == levels[1]).astype(np.int64)

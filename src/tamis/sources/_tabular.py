"""Tables as numbers: one-hot columns, bins, the label and the group; and where local files lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tamis.errors import FileError, UsageError

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class TabularData:
    """A table with binary labels and groups.

    ``X`` float64 (n, d); ``y`` and ``a`` int64 (n,), 0 or 1; ``columns`` the d names; ``sensitive_column`` the column
    of ``X`` that equals ``a``; ``sources`` labels (n,) of the table's own sources, or None.
    """

    name: str
    X: Array
    y: Array
    a: Array
    columns: tuple[str, ...]
    sensitive_column: int
    sources: Array | None = None


def encode(
    name: str, categorical: Any, a: Array, numeric: Any, y: Array, *, sources: Array | None = None
) -> TabularData:
    """One-hot columns of ``categorical``, then the group, then ``numeric`` as it is.

    Each categorical column becomes one column for each of its sorted levels but the first; a missing value is a level
    after the last.

    Args:
        name: of the data.
        categorical: pandas DataFrame, one column for each feature; levels of one column have one type.
        a, y: 0 or 1, shape (n,).
        numeric: pandas DataFrame of numbers.
        sources: labels, shape (n,).

    Raises:
        UsageError: a numeric column has missing or infinite values.
    """
    columns, names = [], []
    for feature in categorical.columns:
        column = categorical[feature]
        missing = column.isna().to_numpy()
        levels = sorted(column[~missing].unique().tolist())
        if missing.any():
            levels.append(None)
        for level in levels[1:]:
            columns.append(missing if level is None else (column == level).to_numpy() & ~missing)
            names.append(f"{feature}={'missing' if level is None else level}")
    place = len(names)
    columns.append(np.asarray(a))
    names.append("sensitive")
    for feature in numeric.columns:
        values = numeric[feature].to_numpy(dtype=np.float64, na_value=np.nan)
        if not np.isfinite(values).all():
            raise UsageError(f"{name}: column {feature!r} has missing or infinite values")
        columns.append(values)
        names.append(str(feature))
    X = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    a, y = np.asarray(a, dtype=np.int64), np.asarray(y, dtype=np.int64)
    return TabularData(name, X, y, a, tuple(names), place, sources)


def binned(column: Any, edges: Sequence[float]) -> Any:
    """The number of the bin ``(edges[k], edges[k + 1]]`` of each value, a pandas Series; missing outside of all."""
    import pandas as pd

    return pd.cut(column, list(edges), labels=False)


def local_file(name: str, folder: str | os.PathLike[str] | None) -> Path:
    """The file ``name`` in ``folder``, or in ``$TAMIS_SHARED/data/tab``.

    Raises:
        FileError: it is not there, or no folder is known.
    """
    if folder is None:
        shared = os.environ.get("TAMIS_SHARED")
        if not shared:
            raise FileError(f"{name}: pass the folder that holds it, or set TAMIS_SHARED to one with data/tab/{name}")
        folder = Path(shared) / "data" / "tab"
    file = Path(folder) / name
    if not file.is_file():
        raise FileError(f"{file}: found no such file; expected {name} in that folder")
    return file


def read_table(name: str, folder: str | os.PathLike[str] | None, needed: Sequence[str], **options: Any) -> Any:
    """A CSV file as a pandas DataFrame with the columns ``needed``, every value a string or missing (empty).

    Raises:
        FileError: the file is missing, is not CSV, or lacks a column.
    """
    import pandas as pd

    file = local_file(name, folder)
    try:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False, na_values=[""], **options)
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: cannot be read as CSV ({' '.join(str(error).split())})") from error
    lacking = [column for column in needed if column not in frame.columns]
    if lacking:
        raise FileError(
            f"{file}: lacks the columns {', '.join(lacking)}; found {', '.join(map(str, frame.columns[:40]))}"
        )
    return frame


def numbers(frame: Any, column: str, where: str) -> Any:
    """A column of strings as float64, missing where empty.

    Raises:
        FileError: a value is not a number.
    """
    import pandas as pd

    try:
        return pd.to_numeric(frame[column]).astype("float64")
    except (ValueError, TypeError) as error:
        raise FileError(f"{where}: column {column!r} has a value that is not a number ({error})") from error

"""Tables from OpenML by name, through scikit-learn's download cache."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from urllib.error import URLError

import numpy as np

from tamis.errors import FileError, UsageError
from tamis.sources._datasets import ADULT_COLUMNS, adult_table
from tamis.sources._tabular import TabularData, encode


def load_openml(
    name: str,
    *,
    target: str,
    sensitive: str,
    positive: str = "",
    group: str = "",
    source: str = "",
    drop: Sequence[str] = (),
    version: int = 1,
    data_home: str | os.PathLike[str] | None = None,
) -> TabularData:
    """A table of openml.org, downloaded once and kept in scikit-learn's cache.

    Texts and categories become one 0/1 column for each sorted level but the first, with a level after the last for
    missing values; numbers stay as they are.

    Args:
        name: of the table, such as ``"credit-g"``.
        target: column to predict.
        sensitive: column with the group of each row.
        positive: value of the target that becomes 1; empty for the second of two.
        group: value of the sensitive column that becomes 1; empty for the second of two.
        source: column with the source of each row; empty for none.
        drop: columns that are no features.
        version: of the table; OpenML has several under one name.
        data_home: folder of the cache; None for scikit-learn's.

    Raises:
        FileError: there is no such table, or it is not in the cache and cannot be fetched.
        UsageError: a column is missing or has not two values, or a number is missing.
    """
    frame = fetch(name, version, data_home)
    for column in (target, sensitive, *([source] if source else []), *drop):
        if column not in frame.columns:
            raise UsageError(f"OpenML table {name!r} has no column {column!r}; it has {', '.join(frame.columns)}")
    features = frame.drop(columns=list(dict.fromkeys([target, sensitive, *([source] if source else []), *drop])))
    numeric = [column for column in features.columns if features[column].dtype.kind in "iuf"]
    categorical = features.drop(columns=numeric).astype(object)
    return encode(
        name,
        categorical,
        _binary(frame[sensitive], group, f"{name}: column {sensitive!r}"),
        features[numeric],
        _binary(frame[target], positive, f"{name}: column {target!r}"),
        sources=frame[source].astype(str).to_numpy(dtype=str) if source else None,
    )


def load_adult_openml(*, data_home: str | os.PathLike[str] | None = None) -> TabularData:
    """Adult of openml.org (version 2), prepared as :func:`load_adult` does it.

    The order of its rows is that of OpenML, so the published splits are those of :func:`load_adult` only.

    Raises:
        FileError: it is not in the cache and cannot be fetched, or has other columns.
    """
    frame = fetch("adult", 2, data_home)
    if lacking := [column for column in ADULT_COLUMNS if column not in frame.columns]:
        raise FileError(f"OpenML table 'adult': lacks the columns {', '.join(lacking)}")
    texts = frame[list(ADULT_COLUMNS)].astype(object)
    return adult_table(texts.where(frame[list(ADULT_COLUMNS)].notna(), "?").astype(str), "OpenML table 'adult'")


def fetch(name: str, version: int, data_home: str | os.PathLike[str] | None) -> Any:
    """The table with its target column, a pandas DataFrame.

    Raises:
        FileError: there is no such table, or it is not in the cache and cannot be fetched.
    """
    from sklearn.datasets import fetch_openml

    home = None if data_home is None else os.fspath(data_home)
    try:
        return fetch_openml(name=name, version=version, data_home=home, as_frame=True, parser="auto").frame
    except (URLError, OSError, ValueError) as error:
        raise FileError(
            f"OpenML table {name!r}, version {version}: not in the cache and cannot be fetched "
            f"({' '.join(str(error).split())}); check name, version and network"
        ) from error


def _binary(column: Any, one: str, where: str) -> Any:
    """1 where the column is ``one``, by default the second of two values; int64."""
    if column.isna().any():
        raise UsageError(f"{where} has {int(column.isna().sum())} missing values; expected two values")
    values = column.astype(str)
    found = np.unique(values.to_numpy(dtype=str)).tolist()
    if (one and one not in found) or (not one and len(found) != 2):
        wanted = f"the value {one!r}" if one else "two values"
        raise UsageError(f"{where}: expected {wanted}, found {', '.join(found[:6])}")
    return (values == (one or found[1])).to_numpy(dtype=np.int64)

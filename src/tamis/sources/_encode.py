"""Columns of a table as the numbers that the comparison needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tamis.errors import UsageError
from tamis.sources._table import DataTable

Floats = NDArray[np.float64]

MISSING_TEXTS = frozenset({"", "NA", "N/A", "n/a", "<NA>", "NULL", "null", "None"})
NOT_A_NUMBER = frozenset({"nan", "+nan", "-nan"})  # in small letters: what Python, C and spreadsheets write
MOST_LEVELS = 100
MOST_COLUMNS = 1000


@dataclass(frozen=True)
class Features:
    """The encoded features.

    Attributes:
        values: float64 ``(n, d)``, finite.
        numeric: names of columns taken as numbers.
        levels: name of each text column -> its levels, sorted; the first has no 0/1 column of its own.
        filled: name -> number of missing values that were filled.
    """

    values: Floats
    numeric: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    filled: dict[str, int]


def encode_features(
    table: DataTable,
    leave_out: Sequence[str],
    categorical: Sequence[str] = (),
    missing: Literal["refuse", "fill"] = "refuse",
) -> Features:
    """Numbers stay numbers; texts become one 0/1 column per level but the first.

    Args:
        table: the table.
        leave_out: columns that are no features.
        categorical: columns of numbers that are names, such as postcodes.
        missing: what to do with missing values: ``"refuse"``, or ``"fill"``: texts get a level of their own, numbers
            the median of the column and a further 0/1 column that marks them.

    Raises:
        UsageError: a value is missing or infinite, a column has too many levels, or no feature is left.
    """
    for name in (*leave_out, *categorical):
        table.column(name, "column")
    parts: list[Floats] = []
    numeric: list[str] = []
    levels: dict[str, tuple[str, ...]] = {}
    filled: dict[str, int] = {}
    for name in table.names:
        if name in leave_out:
            continue
        column = table.columns[name]
        gaps = missing_values(column)
        if gaps.any():
            filled[name] = int(gaps.sum())
            if missing == "refuse":
                raise UsageError(_missing_in(table, name, gaps, leave_out))
        numbers = None if name in categorical else as_numbers(column, gaps)
        if numbers is not None:
            numeric.append(name)
            if np.isinf(numbers).any():
                raise UsageError(f"column {name!r} of {table.path} holds infinite values; replace them")
            numbers[gaps] = np.median(numbers[~gaps]) if not gaps.all() else 0.0
            parts.append(numbers)
            if gaps.any():
                parts.append(gaps.astype(np.float64))
            continue
        texts = np.where(gaps, "(missing)", as_texts(column))
        found = np.unique(texts)
        if len(found) > MOST_LEVELS:
            raise UsageError(
                f"column {name!r} of {table.path} has {len(found):,} different texts, such as {str(found[0])!r}; at "
                f"most {MOST_LEVELS} make sense as categories: leave it out with --drop {name}, or group its values"
            )
        levels[name] = tuple(found.tolist())
        parts += [(texts == level).astype(np.float64) for level in found[1:]]
        if len(parts) > MOST_COLUMNS:
            raise UsageError(
                f"{table.path} makes more than {MOST_COLUMNS:,} feature columns; leave some out with --drop"
            )
    if not parts:
        raise UsageError(f"{table.path} has no feature column beside {', '.join(map(repr, leave_out))}")
    return Features(np.column_stack(parts), tuple(numeric), levels, filled)


def _missing_in(table: DataTable, name: str, gaps: NDArray[np.bool_], leave_out: Sequence[str]) -> str:
    """What is said of missing features: the first column in full, and the names of all others."""
    after = table.names[list(table.names).index(name) + 1 :]
    others = [repr(other) for other in after if other not in leave_out and missing_values(table.columns[other]).any()]
    text = f"column {name!r} of {table.path} has {_gaps(gaps)} (the first in row {int(np.flatnonzero(gaps)[0]) + 1})"
    if others:
        text += f", and so {'has' if len(others) == 1 else 'have'} {', '.join(others)}"
    return (
        f"{text}; fill them, leave such columns out with --drop {name}, or give them a level of their own with "
        "--missing fill"
    )


def binary_column(table: DataTable, name: str, what: str, one: str = "") -> tuple[NDArray[np.int64], tuple[str, str]]:
    """A column with two values as 0 and 1, and their names.

    Args:
        table: the table.
        name: of the column.
        what: the flag that named it, for messages.
        one: the value that becomes 1, all others becoming 0; empty for a column with two values, sorted.

    Raises:
        UsageError: values are missing, it has more or fewer than two, or ``one`` does not occur.
    """
    texts = named_column(table, name, what)
    found = np.unique(texts)
    flag = {"--target": "--positive", "--sensitive": "--group"}.get(what, "")
    if one:
        if one not in found:
            raise UsageError(f"{flag} {one!r} does not occur in column {name!r}, which has {_shown(found)}")
        others = [str(value) for value in found if value != one]
        return (texts == one).astype(np.int64), (others[0] if len(others) == 1 else f"not {one}", one)
    if len(found) == 2:
        return (texts == found[1]).astype(np.int64), (str(found[0]), str(found[1]))
    if len(found) == 1 and found[0] in ("0", "1"):
        return (texts == "1").astype(np.int64), ("0", "1")
    raise UsageError(
        f"{what} {name!r} must have two values, got {len(found)}: {_shown(found)}; "
        f"choose the value that counts as 1 with {flag} VALUE"
    )


def named_column(table: DataTable, name: str, what: str) -> NDArray[Any]:
    """A column of names without missing values, as text.

    Raises:
        UsageError: there is no such column, or a value is missing.
    """
    column = table.column(name, what)
    gaps = missing_values(column)
    if gaps.any():
        raise UsageError(
            f"{what} {name!r} has {_gaps(gaps)} (the first in row "
            f"{int(np.flatnonzero(gaps)[0]) + 1}); fill them or remove these rows"
        )
    return as_texts(column)


def missing_values(column: NDArray[Any]) -> NDArray[np.bool_]:
    """Where a value is missing: NaN, None, or an empty or telling text (``NA``, ``null``)."""
    if column.dtype.kind in "biu":
        return np.zeros(len(column), dtype=bool)
    if column.dtype.kind == "f":
        return np.isnan(column)
    return np.array(
        [v is None or v != v or (isinstance(v, str) and _says_missing(v.strip())) for v in column.tolist()], dtype=bool
    )


def _says_missing(text: str) -> bool:
    return text in MISSING_TEXTS or text.lower() in NOT_A_NUMBER


def as_numbers(column: NDArray[Any], gaps: NDArray[np.bool_]) -> Floats | None:
    """The column as float64 with NaN in ``gaps``, or None if some value is no number."""
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    values = np.full(len(column), np.nan)
    try:
        values[~gaps] = [_number(v) for v in column[~gaps].tolist()]
    except (TypeError, ValueError):
        return None
    return values


def _number(value: Any) -> float:
    if isinstance(value, str) and "_" in value:  # Python reads 1_000 as a thousand, a table means a name
        raise ValueError(value)
    return float(value)


def as_texts(column: NDArray[Any]) -> NDArray[Any]:
    """The column as an array of strings; whole floats read as integers (so Parquet stores codes, some missing)."""
    if column.dtype.kind == "f" and (np.isnan(column) | (column % 1 == 0)).all():
        return np.array([str(int(v)) if v == v else "" for v in column.tolist()])
    return np.array([v.strip() if isinstance(v, str) else str(v) for v in column.tolist()])


def _gaps(gaps: NDArray[np.bool_]) -> str:
    count = int(gaps.sum())
    return f"{count:,} missing value{'s' if count != 1 else ''}"


def _shown(values: NDArray[Any]) -> str:
    return ", ".join(repr(str(v)) for v in values[:6]) + (", ..." if len(values) > 6 else "")

"""Tables with a source column: CSV, TSV and Parquet in, the rows of some sources out with every value as it was."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.documents import is_file
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic

MOST_BYTES = 16 << 30  # of a table in memory
# the most that a Parquet file beyond 64 MiB may grow when it is unpacked
MAX_EXPANSION = 1000
ALWAYS_ALLOWED = 64 << 20
PORTION = 1024  # rows
CELL_BYTES = 8  # that a value has at least once it is an array of NumPy
DELIMITERS = {".csv": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")
SUFFIXES = (*DELIMITERS, *PARQUET)


@dataclass(frozen=True)
class DataTable:
    """A table as it was read.

    Attributes:
        path: the file.
        digest: SHA-256 of the file, in hexadecimal.
        names: of the columns.
        columns: name -> object or numeric array ``(n,)``; texts of a CSV file are untouched strings.
        arrow: the ``pyarrow.Table`` of a Parquet file, else None.
    """

    path: Path
    digest: str
    names: tuple[str, ...]
    columns: dict[str, NDArray[Any]]
    arrow: Any = None

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.columns[self.names[0]])

    def column(self, name: str, what: str) -> NDArray[Any]:
        """The column of that name; ``what`` says what it is wanted for.

        Raises:
            UsageError: there is none.
        """
        if name not in self.columns:
            raise UsageError(f"{what} {name!r} is no column of {self.path}; it has {_listed(self.names)}")
        return self.columns[name]


def read_table(path: str | Path) -> DataTable:
    """Read a .csv, .tsv or .parquet file.

    Raises:
        FileError: it is missing, of another kind, empty, damaged, or too large.
    """
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES:
        raise FileError(f"{file}: expected a table named *{', *'.join(SUFFIXES)}; convert it first")
    if not is_file(file):
        raise FileError(f"{file} is not there, or no file; give the path of a {', '.join(SUFFIXES)} file")
    if file.stat().st_size > MOST_BYTES:
        raise FileError(
            f"{file} has {file.stat().st_size:,} bytes; at most {MOST_BYTES:,} are read: split it, or drop columns"
        )
    try:
        digest = _digest(file)
    except OSError as error:
        raise FileError(f"{file} cannot be read ({error.strerror}); make it readable") from None
    return _read_parquet(file, digest) if file.suffix.lower() in PARQUET else _read_text(file, digest)


def _read_text(file: Path, digest: str) -> DataTable:
    delimiter = DELIMITERS[file.suffix.lower()]
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, delimiter=delimiter, strict=True)
            names = next(reader, [])
            _check_names(names, file)
            rows = []
            for row in reader:
                if not row:  # a blank line
                    continue
                if len(row) != len(names):
                    raise FileError(
                        f"{file}: line {reader.line_num} has {len(row)} values and the heading {len(names)}; "
                        "quote values that contain the delimiter"
                    )
                rows.append(row)
    except UnicodeDecodeError as error:
        raise FileError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except csv.Error as error:
        raise FileError(f"{file} is not well-formed: {error}") from None
    if not rows:
        raise FileError(f"{file} has a heading and no rows")
    columns = {
        name: np.array(values, dtype=object) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return DataTable(file, digest, tuple(names), columns)


def _read_parquet(file: Path, digest: str) -> DataTable:
    try:
        from pyarrow import parquet
    except ImportError:
        raise UsageError("Parquet files need pyarrow; install it with pip install tamis[fair]") from None
    try:
        with parquet.ParquetFile(file) as opened:
            table = _unpacked(opened, file)
        names = [str(name) for name in table.column_names]
        _check_names(names, file)
        if not table.num_rows:
            raise FileError(f"{file} has no rows")
        # without what pandas may have noted in the file, which can be damaged too
        frame = table.replace_schema_metadata(None).to_pandas(integer_object_nulls=True)  # floats would lose digits
        columns = {name: _plain(frame.iloc[:, place].to_numpy()) for place, name in enumerate(names)}
    except FileError:
        raise
    except Exception as error:  # damaged files raise ArrowException, OSError, ValueError, KeyError, TypeError ...
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FileError(f"{file} is no readable Parquet file: {reason}") from None
    return DataTable(file, digest, tuple(names), columns, table)


def _unpacked(opened: Any, file: Path) -> Any:
    """The table of an open ``pyarrow.parquet.ParquetFile``; FileError if it unpacks to suspiciously many bytes.

    A few bytes of Parquet can stand for any number of rows, and what the file says of its own size need not be true, so
    the first rows are unpacked in small portions.
    """
    from pyarrow import Table as ArrowTable

    most = min(MOST_BYTES, max(ALWAYS_ALLOWED, MAX_EXPANSION * file.stat().st_size))
    meta = opened.metadata
    said = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
    if max(said, CELL_BYTES * meta.num_rows * max(meta.num_columns, 1)) > most:
        raise FileError(
            f"{file} unpacks from {file.stat().st_size:,} to more than {most:,} bytes; expected at most {MOST_BYTES:,} "
            f"and a factor of at most {MAX_EXPANSION}: split it, or drop columns"
        )
    batches, size = [], 0
    for batch in opened.iter_batches(batch_size=PORTION):
        size += batch.nbytes
        if size > most:
            raise FileError(
                f"{file} unpacks from {file.stat().st_size:,} to more than {most:,} bytes; expected a factor of at "
                f"most {MAX_EXPANSION}"
            )
        batches.append(batch)
    return ArrowTable.from_batches(batches, opened.schema_arrow)


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    """Dates and other rare types as objects, so that they count as text."""
    return values if values.dtype.kind in "biufO" else values.astype(str).astype(object)


def _check_names(names: Sequence[str], file: Path) -> None:
    if not names:
        raise FileError(f"{file} is empty; expected a heading with the names of the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileError(f"{file} has two columns named {twice[0]!r}; rename one")


def write_rows(table: DataTable, mask: NDArray[np.bool_], target: str | Path) -> Path:
    """Write the rows where ``mask`` (bool ``(n,)``) is True, all columns with their values untouched.

    The suffix of ``target`` chooses the format.

    Raises:
        UsageError: the suffix is unknown, or ``target`` is the table itself.
        FileError: it cannot be written.
    """
    file = Path(target)
    check_target(table, file)
    suffix = file.suffix.lower()
    try:
        if suffix in DELIMITERS:
            return write_atomic(file, _as_text(table, mask, DELIMITERS[suffix]))
        from pyarrow import BufferOutputStream, array, parquet
        from pyarrow import table as arrow_table

        whole = table.arrow
        if whole is None:
            whole = arrow_table({name: array(table.columns[name].tolist()) for name in table.names})
        sink = BufferOutputStream()
        parquet.write_table(whole.filter(array(mask)), sink)
        return write_atomic(file, sink.getvalue().to_pybytes())
    except OSError as problem:
        raise FileError(f"{file} cannot be written ({problem.strerror}); free the disk or make it writable") from None


def check_target(table: DataTable, file: Path) -> None:
    """Refuse a file that rows cannot be written to, before any work is done.

    Raises:
        UsageError: as for :func:`write_rows`.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{file}: rows are written to files named *{', *'.join(SUFFIXES)}")
    if file.resolve() == table.path.resolve():
        raise UsageError(f"{file} is the table itself; choose another file, so that no row is lost")


def _as_text(table: DataTable, mask: NDArray[np.bool_], delimiter: str) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator="\n")
    writer.writerow(table.names)
    if table.arrow is None:
        columns = [table.columns[name][mask].tolist() for name in table.names]
    else:
        columns = [_values_of(column) for column in table.arrow.take(np.flatnonzero(mask)).columns]
    writer.writerows(zip(*columns, strict=True))  # None becomes an empty cell
    return buffer.getvalue()


def _values_of(column: Any) -> list[Any]:
    """A column of a Parquet file as Python's values; through NumPy whole numbers beside a gap would become floats."""
    short = {"float": np.float32, "halffloat": np.float16}.get(str(column.type))  # written with their few digits
    values: list[Any] = column.to_pylist()
    return values if short is None else [value if value is None else short(value) for value in values]


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return (
            hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _by_parts(stream)
        )


def _by_parts(stream: Any) -> str:
    state = hashlib.sha256()  # Python 3.10
    while part := stream.read(1 << 20):
        state.update(part)
    return state.hexdigest()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + (f" and {len(names) - 12} more" if len(names) > 12 else "")

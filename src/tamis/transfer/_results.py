"""The table of transfer results: one row for each model, task, seed and selection, only ever appended to.

A table is a CSV file, or JSON lines where its name ends in .jsonl.  One process at a time writes it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from tamis.documents import csv_heading, csv_records, json_object, read_appended, read_text
from tamis.errors import FileError, UsageError
from tamis.storage import write_atomic

SELECTIONS = ("last", "best_val", "paper_best_test")

# names that other tables use for the same thing
_ALIASES = {"dataset": "task", "accuracy": "value"}
_NEEDED = ("arch", "kind", "method", "sparsity", "task", "seed", "value")


@dataclass(frozen=True)
class Row:
    """One result; numbers that do not apply are NaN, texts empty, counts 0.

    Attributes:
        arch: architecture, such as ``resnet20``.
        kind: ``linear`` (frozen body, new head) or ``full``.
        method: that of the upstream model, ``dense`` for the baseline.
        sparsity: nominal fraction of zeros of the upstream model.
        value: the primary accuracy as a fraction; ``metric`` names it.
        seed: an id; rows of the same id had the same head, order and augmentation.
        replicate: tells repetitions of one seed apart.
        sparsity_before, sparsity_after: measured over the masked tensors, before and after fine-tuning.
        selection: which of the epochs or regularisations the row is of: ``last``, ``best_val`` or ``paper_best_test``.
        epoch: that was selected, from 1.
        c: inverse regularisation C of a linear probe.
        n_test: test images.
        recipe_hash: sha256 of everything that decides the numbers apart from the model, the task and the seed.
        checkpoint_sha: sha256 of the upstream file.
        upstream: accuracy of the upstream model on its own test set, where known.
        extract_s, train_s: wall seconds of extracting features and of fitting.
        note: free text, such as how the upstream model was trained.
    """

    arch: str
    kind: str
    method: str
    sparsity: float
    task: str
    seed: str
    value: float
    metric: str = ""
    top1: float = math.nan
    mean_per_class: float = math.nan
    replicate: int = 0
    sparsity_before: float = math.nan
    sparsity_after: float = math.nan
    selection: str = ""
    epoch: int = 0
    c: float = math.nan
    n_test: int = 0
    split_sha: str = ""
    recipe_hash: str = ""
    transform_id: str = ""
    checkpoint_sha: str = ""
    upstream: float = math.nan
    extract_s: float = math.nan
    train_s: float = math.nan
    device: str = ""
    threads: int = 0
    versions: str = ""
    run_id: str = ""
    note: str = ""

    @property
    def key(self) -> tuple[Any, ...]:
        """What no two rows of a table share."""
        return (
            self.arch, self.kind, self.method, self.sparsity, self.task, self.seed, self.replicate, self.selection,
            self.recipe_hash, self.checkpoint_sha, self.split_sha, self.transform_id,
        )  # fmt: skip


def _whole(value: Any) -> int:
    """A count; libraries that mark gaps by NaN write 1000 as 1000.0."""
    number = float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


_TYPES = get_type_hints(Row)
_READ: dict[Any, Callable[[Any], Any]] = {str: str, float: float, int: _whole}
COLUMNS = tuple(item.name for item in fields(Row))


def read_results(path: str | os.PathLike[str]) -> tuple[Row, ...]:
    """The rows of a results table; lines that begin with ``#`` are comments, unknown columns are passed over.

    Needs the columns arch, kind, method, sparsity, task (or dataset), seed and value (or accuracy).  A last line of a
    table of tamis that has no line end was left half-written by a crash and does not count.

    Raises:
        FileError: the file is missing, has no such columns, a row is cut short, or a cell is no number; row and column
            are named.
    """
    file = Path(path)
    text = read_appended(file, "a table of transfer results")
    if file.suffix != ".jsonl" and not text.startswith(_line(COLUMNS)):
        whole = read_text(file, "a table of transfer results")  # somebody else's, whose last line may have no end
        if whole and not text:
            raise FileError(f"{file}: ends within its heading; expected a table with a line for each result")
        text = whole
    return tuple(_parsed(file, text))


def _parsed(file: Path, text: str) -> Iterator[Row]:
    if file.suffix == ".jsonl":
        lines = enumerate(text.split("\n"), 1)
        records: Iterator[Any] = (
            (number, json_object(line, f"{file}, line {number}")) for number, line in lines if line.strip()
        )
    else:
        present = {_ALIASES.get(name, name) for name in csv_heading(text, str(file))}
        missing = [name for name in _NEEDED if name not in present]
        if missing:
            found = ", ".join(sorted(name[:40] for name in present if name)) or "none"
            raise FileError(f"{file}: found the columns {found[:400]}; expected also {', '.join(missing)}")
        records = enumerate(csv_records(text, str(file)), 2)
    for number, record in records:
        yield _row(file, number, record)


def _row(file: Path, number: int, record: dict[Any, Any]) -> Row:
    values: dict[str, Any] = {}
    for given, value in record.items():
        name = _ALIASES.get(given, given)
        if name not in _TYPES or value in (None, ""):
            continue
        try:
            values[name] = _READ[_TYPES[name]](value)
        except (TypeError, ValueError, OverflowError):
            found = repr(value)[:80]
            raise FileError(f"{file}, row {number}, column {given}: found {found}; expected a number") from None
    missing = [name for name in _NEEDED if name not in values]
    if missing:
        raise FileError(f"{file}, row {number}: {', '.join(missing)}; expected one each")
    return Row(**values)


class Table:
    """A results table that is open for writing, by this process only: ``with Table.open(path) as table``."""

    def __init__(self, path: Path, rows: tuple[Row, ...]) -> None:
        self.path = path
        self._rows = list(rows)
        self._keys = {row.key for row in rows}

    @classmethod
    @contextmanager
    def open(cls, path: str | os.PathLike[str]) -> Iterator[Table]:
        """Lock the table, make it if it is missing, and drop a last line that a crash left half-written.

        The lock belongs to the process: it ends with it, however it ends.

        Raises:
            UsageError: another process writes it.
            FileError: it is no table of results.
        """
        import fcntl  # POSIX only; reading a table does without

        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f".{file.name}.lock").open("a")
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"{file}: another process writes this table; wait for it, or write another file"
                ) from None
            if not file.exists():
                write_atomic(file, "" if file.suffix == ".jsonl" else _line(COLUMNS))
            content = file.read_bytes()
            if content and not content.endswith(b"\n"):
                write_atomic(file, content[: content.rfind(b"\n") + 1])
            lines = read_text(file, "a table of transfer results").split("\n")
            heading = next((line for line in lines if not line.startswith("#")), "")
            if file.suffix != ".jsonl" and heading + "\n" != _line(COLUMNS):
                raise FileError(f"{file}: its columns are not those of this version; read it, or write another file")
            yield cls(file, read_results(file))
        finally:
            lock.close()

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, those that were appended included."""
        return tuple(self._rows)

    def append(self, row: Row) -> None:
        """Write one row and wait until the disk has it.

        Raises:
            UsageError: a row of the same cell, seed, replicate, selection and recipe is there; or ``selection`` is
                none of ``last``, ``best_val`` and ``paper_best_test``.
            OSError: the disk is full; the table is as it was.
        """
        if row.selection not in SELECTIONS:
            raise UsageError(f"selection {row.selection!r}; expected one of {', '.join(SELECTIONS)}")
        if row.key in self._keys:
            raise UsageError(
                f"{self.path}: has {row.method} {row.sparsity:g} {row.kind} on {row.task}, seed {row.seed}, "
                f"replicate {row.replicate} already; a repetition needs a replicate number of its own"
            )
        values = asdict(row)
        line = json.dumps({k: None if v != v else v for k, v in values.items()}) + "\n"
        if self.path.suffix != ".jsonl":
            line = _line(["" if value != value else value for value in values.values()])
        size = self.path.stat().st_size
        try:
            with self.path.open("a", encoding="utf-8", newline="") as stream:
                stream.write(line)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:  # a full disk must not leave half a row for the next one to join
            self._cut(size)
            error.filename = str(self.path)
            raise
        except BaseException:  # Ctrl-C neither, but a row that is whole was paid for
            if self.path.stat().st_size == size + len(line.encode()):
                self._rows.append(row)
                self._keys.add(row.key)
            else:
                self._cut(size)
            raise
        self._rows.append(row)
        self._keys.add(row.key)

    def _cut(self, size: int) -> None:
        with contextlib.suppress(OSError):
            os.truncate(self.path, size)


def _line(cells: Any) -> str:
    text = io.StringIO()
    # one row is one line: what a crash leaves of a row can be told from the rows before it
    plain = [str(cell).replace("\r", " ").replace("\n", " ") for cell in cells]
    csv.writer(text, lineterminator="\n").writerow(plain)
    return text.getvalue()

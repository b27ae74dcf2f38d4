"""metrics.jsonl: the append-only diary of a run, one JSON object per line."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.documents import json_object, read_appended
from tamis.errors import FileError


class MetricsLog:
    """Appends rows to a file; each row is on disk when :meth:`append` returns.

    Args:
        path: the file; made if missing.
        keep: bytes of an earlier run to keep, everything behind them is cut (a resumed run repeats those rows), and so
            is a last row that a crash left half-written.

    Raises:
        FileError: the file cannot be opened for writing.
    """

    def __init__(self, path: str | os.PathLike[str], keep: int = 0) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # unbuffered, so that a row that could not be written is not written later
            self._stream = self.path.open("r+b" if self.path.exists() else "w+b", buffering=0)
        except OSError as error:
            raise FileError(f"{self.path}: cannot write the metrics ({error.strerror})") from error
        size = self._stream.seek(0, os.SEEK_END)
        self._cut(min(keep, size))
        if not self._ends_with_a_row():
            self._stream.seek(0)
            self._cut(self._stream.readall().rfind(b"\n") + 1)
        if size < keep:
            self.append({"kind": "note", "text": f"{keep - size} bytes of earlier rows were lost before this resume"})

    @property
    def size(self) -> int:
        """Bytes written so far; a checkpoint stores this number for ``keep``."""
        return self._stream.tell()

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; numbers that JSON cannot hold (NaN, infinities) become null.

        Raises ``OSError`` with the file's name (disk full); the file then ends with the row before.
        """
        left, size = memoryview(json.dumps(_finite(row), allow_nan=False).encode() + b"\n"), self.size
        try:
            while left:
                left = left[self._stream.write(left) :]
            os.fsync(self._stream.fileno())
        except BaseException as error:
            with contextlib.suppress(OSError):
                self._cut(size)
            if isinstance(error, OSError):
                error.filename = str(self.path)
            raise

    def _cut(self, size: int) -> None:
        self._stream.truncate(size)
        self._stream.seek(size)

    def _ends_with_a_row(self) -> bool:
        if self.size:
            self._stream.seek(-1, os.SEEK_END)
        return not self.size or self._stream.read(1) == b"\n"

    def close(self) -> None:
        """Close the file; further rows are an error."""
        self._stream.close()

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NoLog(MetricsLog):
    """Takes rows and keeps none: the diary of a job of several processes is written by one of them."""

    def __init__(self) -> None:
        self.path = Path(os.devnull)

    @property
    def size(self) -> int:
        """0."""
        return 0

    def append(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def read_metrics(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """All rows of a metrics.jsonl, in order; a last line cut short by a crash is left out.

    Raises:
        FileError: the file is missing, or a line before the last is no JSON object.
    """
    lines = read_appended(path, "the metrics of a run").split("\n")
    return [json_object(line, f"{path}, line {number}") for number, line in enumerate(lines[:-1], start=1)]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value

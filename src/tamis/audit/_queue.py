"""The samples that a person should look at, riskiest first, as CSV that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.storage import write_atomic

QUEUE_COLUMNS = ("id", "attribute", "risk", "why", "dense", "compressed", "y")

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def escape_csv(text: str) -> str:
    """A name or id that no spreadsheet takes for a formula: an apostrophe goes before ``= + - @``, tab and CR.

    Numbers are never passed through here.

    >>> escape_csv("=1+1")
    "'=1+1"
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV with a header; texts are escaped, numbers are written as they are, None as an empty cell."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([escape_csv(column) for column in columns])
    for row in rows:
        found = [row.get(column) for column in columns]
        writer.writerow(["" if cell is None else escape_csv(cell) if isinstance(cell, str) else cell for cell in found])
    return stream.getvalue().encode("utf-8", "replace").decode("utf-8")  # half a character becomes a question mark


def write_csv(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write :func:`csv_text` atomically."""
    return write_atomic(path, csv_text(columns, rows))

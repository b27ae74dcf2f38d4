"""Results as text and as CSV."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tamis.storage import write_atomic

_MACHINE = (
    "processor", "isa", "threads", "cpus", "load_average", "versions", "busy", "allocator", "huge_pages", "choice",
    "peers", "wall_over_cpu",
)  # fmt: skip


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of positive numbers; NaN for none.

    >>> round(geometric_mean([1.0, 4.0]), 6)
    2.0
    """
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def render_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal keys as aligned text columns; missing values are blank.

    >>> print(render_table([{"a": 1, "b": "x"}, {"a": 10, "b": "y"}]))
     a  b
     1  x
    10  y
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [names] + [[str(row.get(name, "")) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in cells)


def write_csv(
    path: str | os.PathLike[str],
    rows: Sequence[Mapping[str, Any]],
    machine: Mapping[str, Any],
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write rows as CSV with ``#`` comment lines above them; replaces the file at once.

    The comment lines hold ``about``, whatever it is, and what is known of the machine.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    for key, value in (about or {}).items():
        text.write(f"# {key}: {value}\n")
    for key in _MACHINE:
        if key in machine:
            text.write(f"# {key}: {machine[key]}\n")
    writer = csv.DictWriter(text, names, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return write_atomic(path, text.getvalue())

"""The FLOPs ledger and measured times as tables of text.

What the run counted is shown as it is, each row with its denominator.  The last row is not a count but a measurement:
the steps' CPU time over what the same steps would have cost at the dense phases' median.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tamis.report._format import DASH, cell, label
from tamis.report._phases import Span
from tamis.report._read import Run


@dataclass(frozen=True)
class Table:
    """A table of text: headings, which columns hold numbers, and rows of equal length."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def free_table(records: Sequence[Mapping[str, Any]]) -> Table | None:
    """Any list of flat records as a table; columns in the order of first appearance, nested values left out."""
    names: list[str] = []
    for record in records:
        names += [name for name, value in record.items() if name not in names and not isinstance(value, dict)]
    if not names:
        return None
    numeric = tuple(
        all(
            isinstance(record.get(name), int | float | None) and not isinstance(record.get(name), bool)
            for record in records
        )
        for name in names
    )
    rows = tuple(
        tuple(cell(name, None if isinstance(record.get(name), dict) else record.get(name)) for name in names)
        for record in records
    )
    return Table(tuple(label(name) for name in names), numeric, rows)


def ledger_of(run: Run, spans: Sequence[Span]) -> Table | None:
    """The ledger's rows with the measured one last; every row states its denominator."""
    rows: list[dict[str, Any]] = []
    for row in run.summary.ledger:
        rows.append({"name": row.get("name", DASH), **{key: value for key, value in row.items() if key != "name"}})
    measured = cpu_time_fraction(spans)
    if math.isfinite(measured):
        steps = sum(span.end - span.start for span in spans)
        rows.append(
            {
                "name": "CPU time, measured",
                _training_key(rows): measured,
                "denominator": f"the same {steps:,} steps at the median step of this run's dense phases",
            }
        )
    if not rows:
        return None
    keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key != "denominator"]
    complete = [
        {**{key: row.get(key) for key in keys}, "denominator": row.get("denominator") or "not stated by the run"}
        for row in rows
    ]
    table = free_table(complete)
    assert table is not None  # there is at least the name
    return Table(("Count", *table.headings[1:]), table.numeric, table.rows)


def _training_key(rows: Sequence[Mapping[str, Any]]) -> str:
    """The column of training costs in the run's own rows, so that the measured row lands in the same one."""
    known = {key for row in rows for key in row}
    return next(
        (key for key in ("train_fraction", "training_fraction", "train", "training") if key in known), "train_fraction"
    )


def cpu_time_fraction(spans: Sequence[Span]) -> float:
    """CPU time of all steps over their time at the dense median, a fraction; NaN unless both kinds were measured."""
    if {span.kind for span in spans} != {"dense", "sparse"} or any(math.isnan(span.step_cpu_ms) for span in spans):
        return math.nan
    dense = step_median(spans, "dense")
    steps = sum(span.end - span.start for span in spans)
    return (
        sum((span.end - span.start) * span.step_cpu_ms for span in spans) / (steps * dense) if dense > 0 else math.nan
    )


def step_median(spans: Sequence[Span], kind: str) -> float:
    """The median over all epochs of one kind of phase of the median CPU time of a step in milliseconds, or NaN."""
    times = [row.step_cpu_ms for span in spans if span.kind == kind for row in span.epochs]
    times = [time for time in times if not math.isnan(time)]
    return median(times) if times else math.nan

"""A table of text, and any list of flat records as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.report._format import cell, label


@dataclass(frozen=True)
class Table:
    """A table of text: headings, which columns hold numbers, and rows of equal length."""

    headings: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def free_table(records: Sequence[Mapping[str, Any]]) -> Table | None:
    """The records as rows; columns in the order of first appearance, nested values left out, None without columns."""
    names: list[str] = []
    for record in records:
        names += [name for name, value in record.items() if name not in names and not isinstance(value, dict)]
    if not names:
        return None
    numeric = tuple(all(_numeric(record.get(name)) for record in records) for name in names)
    rows = tuple(
        tuple(cell(name, None if isinstance(record.get(name), dict) else record.get(name)) for name in names)
        for record in records
    )
    return Table(tuple(label(name) for name in names), numeric, rows)


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float | None) and not isinstance(value, bool)

"""The page of a sieved table: which sources were kept, and why the others were not, in words and pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tamis.errors import FileError, UsageError
from tamis.report._format import DASH, percent
from tamis.report._html import render_template, require_extra
from tamis.report._sieve_charts import sieve_charts
from tamis.report._tables import Table
from tamis.storage import write_atomic

MEANINGS = {
    "discrepancy": "how differently some linear classifier errs on two sources: sees labels that follow other rules",
    "disparity": "how differently some linear classifier treats the two groups in two sources: sees groups that were "
    "swapped, shuffled or overwritten",
    "disbalance": "how much the shares of the two groups differ: sees groups that were left out, added or renamed",
}


def write_sieve_report(record: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write the page of a record of :func:`tamis.sources.sieve_table`; equal records give equal pages, byte for byte.

    Args:
        record: as it was made, or read from the JSON file that ``tamis sieve`` writes.
        path: an .html file.

    Raises:
        UsageError: jinja2 or matplotlib is not installed, or the name of the file does not end in .html.
        FileError: the page cannot be written.
    """
    require_extra()
    target = check_page(path)
    try:
        return write_atomic(target, render_template("sieve.html.jinja", _content(record)))
    except OSError as problem:
        raise FileError(f"{target} cannot be written ({problem.strerror}); choose another place") from None


def check_page(path: str | os.PathLike[str]) -> Path:
    """The path of a page, refused before any work is done.

    Raises:
        UsageError: the name does not end in .html.
    """
    target = Path(path)
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{target}: the report is a page; give a name that ends in .html")
    return target


def _content(record: Mapping[str, Any]) -> dict[str, Any]:
    sources = record["sources"]
    rejected = [source for source in sources if not source["kept"]]
    return {
        "record": record,
        "rejected": rejected,
        "charts": sieve_charts(record),
        "sources": _sources_table(record),
        "reasons": {source["name"]: _reason_table(source, record) for source in rejected},
        "meanings": [(name, MEANINGS[name]) for name in record["usual"]],
        "facts": _facts(record),
        "rows_kept": percent(record["rows_kept"] / record["rows"], 0),
    }


def _sources_table(record: Mapping[str, Any]) -> Table:
    components = list(record["usual"])
    columns = record["columns"]
    headings = ["Source", "Rows", "Decision", "Score", *(name.capitalize() for name in components), "Largest"]
    headings.append(f"{columns['target']} = {columns['classes'][1]}")
    if columns["groups"]:
        headings.append(f"{columns['sensitive']} = {columns['groups'][1]}")
    rows = []
    for source in record["sources"]:
        row = [
            source["name"],
            f"{source['rows']:,}",
            "kept" if source["kept"] else "rejected",
            _number(source["score"]),
        ]
        row += [_number(source["components"][name]) for name in components]
        row += [DASH if source["kept"] else source["largest_component"] or DASH, percent(source["positive_share"])]
        if columns["groups"]:
            row.append(percent(source["group_share"]))
        rows.append(tuple(row))
    words = {"Source", "Decision", "Largest"}
    return Table(tuple(headings), tuple(heading not in words for heading in headings), tuple(rows))


def _reason_table(source: Mapping[str, Any], record: Mapping[str, Any]) -> Table:
    rows = tuple(
        (name, _number(source["components"][name]), _number(record["usual"][name])) for name in record["usual"]
    )
    return Table(("Component", "This source", "Usual"), (False, True, True), rows)


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    columns = record["columns"]
    clean = {"auto": "as many as are near to the majority", "majority": "floor(N / 2) + 1 sources"}
    facts = [
        ("File", record["file"]),
        ("SHA-256", record["sha256"]),
        ("Rows", f"{record['rows']:,}"),
        ("Source", columns["source"]),
        ("Target", f"{columns['target']}: {columns['classes'][0]} or {columns['classes'][1]}"),
        (
            "Sensitive",
            f"{columns['sensitive']}: {columns['groups'][0]} or {columns['groups'][1]}"
            if columns["groups"]
            else "none",
        ),
        ("Numbers", ", ".join(columns["numeric"]) or "none"),
        ("Categories", ", ".join(f"{name} ({len(v)})" for name, v in columns["categories"].items()) or "none"),
        ("Left out", ", ".join(columns["left_out"]) or "none"),
        (
            "Missing values filled",
            ", ".join(f"{k} ({v})" for k, v in columns["missing_values_filled"].items()) or "none",
        ),
        ("Sources to keep", clean.get(record["clean"], record["clean"])),
        ("Disparity", record["disparity"] or "not compared"),
        ("Fits that hit a limit", str(record["fits_that_hit_a_limit"])),
    ]
    return facts


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.3f}"

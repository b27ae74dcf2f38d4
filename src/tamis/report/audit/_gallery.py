"""Samples whose prediction changed: how many, who they are, and a few of them for readers without scripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamis.report._format import percent
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import fixed, number

STILL = 12


@dataclass(frozen=True)
class Gallery:
    """Tables of the section; ``words`` say what is shown of how many."""

    words: str
    summary: Table | None
    still: Table | None
    multilabel: str


def gallery_of(audit: Audit) -> Gallery:
    """The exemplars of all compressed conditions."""
    parts = {part["condition"]: part for part in audit.values["exemplars"]}
    rows = [
        (
            condition.title,
            line["attribute"],
            f"{line['count']:,}",
            percent(number(line["share"])),
            percent(number(line["to_negative"])),
            _pair(line, "dense_uncertain", "dense_uncertain_base"),
            _pair(line, "dense_accuracy_on", "dense_accuracy_off"),
            _pair(line, "compressed_accuracy_on", "compressed_accuracy_off"),
            _mix(line["groups"]),
        )
        for condition in audit.compressed
        for line in parts.get(condition.id, {}).get("attributes", [])
    ]
    headings = (
        "Models",
        "Attribute",
        "Changed",
        "Share",
        "From yes to no",
        "Dense uncertain: among changed, overall",
        "Dense right: on changed, elsewhere",
        "Compressed right: on changed, elsewhere",
        "Group share: among changed, overall",
    )
    summary = Table(headings, (False, False, True, True, True, True, True, True, False), tuple(rows)) if rows else None
    return Gallery(_words(audit, parts), summary, _still(audit, parts), _multilabel(audit, parts))


def _pair(line: Mapping[str, Any], on: str, off: str) -> str:
    return f"{percent(number(line[on]), 0)}, {percent(number(line[off]), 0)}"


def _mix(groups: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name} {percent(number(on), 0)}, {percent(number(base), 0)}" for name, (on, base) in list(groups.items())[:6]
    )


def _words(audit: Audit, parts: Mapping[str, Any]) -> str:
    own = [(condition.title, parts[condition.id]) for condition in audit.compressed if condition.id in parts]
    if not own:
        return ""
    counts = ", ".join(f"{part['rows_total']:,} for {title}" for title, part in own)
    cut = [len(part["rows"]) for _, part in own if len(part["rows"]) < part["rows_total"]]
    which = f" Shown are at most the {max(cut):,} with the largest change of probability of each." if cut else ""
    return f"Changed predictions: {counts}.{which}"


def _still(audit: Audit, parts: Mapping[str, Any]) -> Table | None:
    """The largest changes of the last condition."""
    last = next(
        (condition for condition in reversed(audit.compressed) if parts.get(condition.id, {}).get("rows")), None
    )
    if last is None:
        return None
    answer = {0: "no", 1: "yes", None: "unknown"}
    rows = tuple(
        (
            row["id"],
            row["attribute"],
            answer[row["y"]],
            f"{'yes' if row['flip'] == '1>0' else 'no'} ({fixed(row['dense'], 2)})",
            f"{'no' if row['flip'] == '1>0' else 'yes'} ({fixed(row['compressed'], 2)})",
            ", ".join(
                name if member else f"not {name}" for name, member in row["groups"].items() if member is not None
            ),
        )
        for row in parts[last.id]["rows"][:STILL]
    )
    return Table(("Sample", "Attribute", "Label", "Dense (p)", f"{last.title} (p)", "Groups"), (False,) * 6, rows)


def _multilabel(audit: Audit, parts: Mapping[str, Any]) -> str:
    """How many samples the rank criterion over all attributes finds."""
    found = [
        f"at most {fixed(value['threshold_rho'], 2)} for {condition.title} ({value['count']:,} samples)"
        for condition in audit.compressed
        if (value := parts.get(condition.id, {}).get("multilabel"))
    ]
    return ", ".join(found) + "." if found else ""

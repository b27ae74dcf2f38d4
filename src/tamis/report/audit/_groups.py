"""Which groups lost accuracy beyond the average."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tamis.report._format import percent
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import interval_text, mean, signed

MOST = 20
RATES = (
    ("accuracy", "Accuracy"),
    ("fpr", "False positives"),
    ("fnr", "False negatives"),
    ("selection_rate", "Predicted yes"),
)


def groups_table(audit: Audit) -> Table | None:
    """The groups with the largest psi over all compressed conditions; None if the report has none."""
    rows = [row for row in audit.values.get("group_values", []) if row.get("psi") and math.isfinite(mean(row["psi"]))]
    rows.sort(key=lambda row: -mean(row["psi"]))
    headings = (
        "Group",
        "Attribute",
        "Models",
        "Samples",
        "\u03c8",
        "Interval",
        "Excess loss",
        *(name for _, name in RATES),
    )
    numeric = (False, False, False, *(True for _ in headings[3:]))
    return Table(headings, numeric, tuple(_line(audit, row) for row in rows[:MOST])) if rows else None


def _line(audit: Audit, row: Mapping[str, Any]) -> tuple[str, ...]:
    group = row["identity"] if row["group"] == 1 else f"not {row['identity']}"
    rates = (percent(mean(row.get(key))) for key, _ in RATES)
    psi = row["psi"]
    return (
        group,
        row["attribute"] or "all classes",
        audit.title_of(row["condition"]),
        f"{row['n']:,}",
        signed(mean(psi)),
        interval_text(psi),
        signed(mean(row.get("excess_loss"))),
        *rates,
    )

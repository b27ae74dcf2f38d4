"""Other definitions of bias that papers use, beside the one that the page is about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from tamis.report._format import DASH
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import change_of, fixed, interval_text, mean, measured, signed, span

METRICS = ("recall_gap", "a_to_t", "t_to_a", "zhao_ba", "cev", "sde")
MOST = 20


@dataclass(frozen=True)
class Definitions:
    """Means by condition, and the pairs with the largest directional changes."""

    means: Table | None
    pairs: Table | None


def definitions_of(audit: Audit) -> Definitions:
    """Both tables; None where a report of an older version holds nothing for them."""
    return Definitions(_means(audit), _pairs(audit))


def _means(audit: Audit) -> Table | None:
    rows = []
    for curve in audit.values["curves"]:
        if curve["metric"] not in METRICS:
            continue
        value = partial(measured, curve["metric"])
        dense = next((point for point in curve["points"] if point["condition"] == audit.conditions[0].id), None)
        for point in curve["points"]:
            difference, low, high = change_of(point, dense)
            rows.append((
                curve["title"],
                audit.title_of(point["condition"]),
                value(mean(point)) if not point["reason"] else audit.reason(point["reason"]),
                interval_text(point, value),
                DASH if point is dense else signed(difference),
                span(low, high) or DASH,
            ))  # fmt: skip
    headings = ("Measure", "Models", "Mean", "Interval", "Minus dense", "Interval of the difference")
    return Table(headings, (False, False, True, True, True, True), tuple(rows)) if rows else None


def _pairs(audit: Audit) -> Table | None:
    found = [pair for pair in audit.values["pairs"] if math.isfinite(_change(pair, "a_to_t"))]
    found.sort(key=lambda pair: -abs(_change(pair, "a_to_t")))
    rows = tuple(_line(audit, pair) for pair in found[:MOST])
    headings = ("Pair", "Models", "Identity to attribute", "Interval", "Attribute to identity", "CEV", "SDE")
    return Table(headings, (False, False, *(True for _ in headings[2:])), rows) if rows else None


def _change(pair: Mapping[str, Any], direction: str) -> float:
    return mean((pair.get(direction) or {}).get("change"))


def _line(audit: Audit, pair: Mapping[str, Any]) -> tuple[str, ...]:
    change = pair["a_to_t"]["change"]
    return (
        f"{pair['attribute']} by {pair['identity']}",
        audit.title_of(pair["condition"]),
        signed(mean(change)),
        interval_text(change),
        signed(_change(pair, "t_to_a")),
        fixed(mean(pair.get("cev")), 1),
        fixed(mean(pair.get("sde")), 1),
    )

"""The numbers at a glance, and what was compared with what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tamis.report._format import DASH
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import SHARES, change_of, interval, mean, measured, number, signed, span

GLANCE = ("accuracy", "uncertainty", "tcb", "ece", "cie_share", "ba", "ba_max")
CARDS = ("accuracy", "uncertainty", "ba", "cie_share")


@dataclass(frozen=True)
class Card:
    """One number of the dense model and of the compressed one."""

    title: str
    dense: str
    compressed: str
    note: str


def cards_of(audit: Audit) -> tuple[Card, ...]:
    """The dense model against the last compressed condition, for the most asked numbers."""
    if not audit.compressed:
        return ()
    last = audit.compressed[-1].id
    cards = []
    for metric in CARDS:
        curve = _curve(audit, metric)
        dense, compressed = _point(curve, audit.conditions[0].id), _point(curve, last)
        if curve is None or not math.isfinite(mean(compressed)):
            continue
        low, high = interval(compressed or {})
        own = span(low, high, partial(measured, metric))
        difference, low, high = change_of(compressed, dense)
        change = span(low, high, partial(_change, metric)).replace(" points to", " to")
        note = (
            f"95\u00a0% interval {own}"
            if own
            else f"{_change(metric, difference)} (95\u00a0% interval {change})"
            if change
            else ""
        )
        before = measured(metric, mean(dense)) if metric != "cie_share" and math.isfinite(mean(dense)) else ""
        cards.append(Card(curve["title"], before, measured(metric, mean(compressed)), note))
    return tuple(cards)


def _change(metric: str, difference: float) -> str:
    """A difference of two values of a curve: of shares in points."""
    return f"{signed(100 * difference, 1)} points" if metric in SHARES else signed(difference)


def glance_table(audit: Audit) -> Table:
    """One row a condition with the curves' means and in how many pairs bias amplification rose for sure."""
    curves = [curve for curve in (_curve(audit, metric) for metric in GLANCE) if curve is not None]
    rows = [
        (
            condition.title,
            f"{condition.seeds}",
            *(
                DASH
                if condition.dense and curve["metric"] == "cie_share"
                else measured(curve["metric"], mean(_point(curve, condition.id)))
                for curve in curves
            ),
            DASH if condition.dense else _risen(audit, condition.id),
        )
        for condition in audit.conditions
    ]
    headings = ("Models", "Seeds", *(curve["title"] for curve in curves), "Sure rises")
    return Table(headings, (False, *(True for _ in headings[1:])), tuple(rows))


def _risen(audit: Audit, condition: str) -> str:
    own = [pair for pair in audit.values["pairs"] if pair["condition"] == condition and not pair["reason"]]
    return f"{sum(interval(pair['change'])[0] > 0 for pair in own)} of {len(own)}"


def _curve(audit: Audit, metric: str) -> Mapping[str, Any] | None:
    return next((curve for curve in audit.values["curves"] if curve["metric"] == metric), None)


def _point(curve: Mapping[str, Any] | None, condition: str) -> Mapping[str, Any] | None:
    points: Sequence[Mapping[str, Any]] = curve["points"] if curve else ()
    return next((point for point in points if point["condition"] == condition), None)


def subject_of(audit: Audit) -> str:
    """What was compared with what, in one sentence."""
    labels = audit.values["provenance"].get("labels") or {}
    samples = number(labels.get("samples"))
    what = {
        "pair": f"{len(audit.compressed)} compressed condition{'s' if len(audit.compressed) != 1 else ''}",
        "seeds": f"{audit.conditions[0].seeds} dense model{'s' if audit.conditions[0].seeds != 1 else ''}",
    }
    on = f" on the same {samples:,.0f} samples" if math.isfinite(samples) else ""
    kinds = "classes" if audit.values.get("task") == "multiclass" else "attributes"
    return (
        f"Compares {what['pair']} with {what['seeds']}{on}: {len(audit.attributes)} {kinds}, "
        f"{len(audit.identities)} identit{'ies' if len(audit.identities) != 1 else 'y'}."
    )

"""The verdict, the rules that led to it, and the numbers at a glance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.report._format import DASH
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import fixed, interval, mean, measured, number, span

WORDS = {
    "pass": ("Policy met", "\u2713"),
    "warn": ("Policy met, with warnings", "!"),
    "fail": ("Policy not met", "\u2715"),
    "none": ("No verdict", DASH),
}
STATES = {"fail": "fails", "warn": "warning", "pass": "passes", "ignored": "ignored"}
AT_MOST = 20  # rows of the policy that are shown unfolded
GLANCE = ("accuracy", "uncertainty", "tcb", "ece", "cie_share", "ba", "ba_max")
CARDS = ("accuracy", "uncertainty", "ba", "cie_share")


@dataclass(frozen=True)
class Strip:
    """A value, its interval and the limit on a line of 100 units; NaN where absent."""

    value: float
    low: float
    high: float
    limit: float
    zero: float


@dataclass(frozen=True)
class Rule:
    """One row of the policy table."""

    state: str
    word: str
    name: str
    where: str
    value: str
    interval: str
    limit: str
    words: str
    strip: Strip | None


@dataclass(frozen=True)
class Card:
    """One number of the dense model and of the compressed one."""

    title: str
    dense: str
    compressed: str
    note: str


@dataclass(frozen=True)
class Verdict:
    """The banner and the rules: those that need a look, and the rest."""

    state: str
    title: str
    sign: str
    words: str
    counts: str
    first: tuple[Rule, ...]
    rest: tuple[Rule, ...]
    terms: str


def verdict_of(audit: Audit) -> Verdict:
    """What the policy said."""
    values, policy = audit.values["verdict"], audit.values.get("policy")
    state = values["state"] if values["state"] in WORDS else "none"
    title, sign = WORDS[state]
    rules = [_rule(audit, row) for row in (policy or {}).get("rows", [])]
    urgent = [rule for rule in rules if rule.state in ("fail", "warn")]
    first = (urgent or rules)[:AT_MOST]
    shown = {id(rule) for rule in first}
    counts = ", ".join(
        f"{sum(rule.state == state for rule in rules)} {word}"
        for state, word in (("fail", "failed"), ("warn", "with a warning"), ("pass", "passed"), ("ignored", "ignored"))
        if any(rule.state == state for rule in rules)
    )
    return Verdict(
        state, title, sign, values["words"], counts, tuple(first),
        tuple(rule for rule in rules if id(rule) not in shown), _terms(policy),
    )  # fmt: skip


def _terms(policy: Mapping[str, Any] | None) -> str:
    """How the policy judges, in words."""
    if not policy:
        return ""
    text = (
        "Strict: a rule passes only if the whole interval keeps the limit."
        if policy["strict"]
        else "A rule fails only if the whole interval lies beyond the limit; a value beyond it whose interval reaches back is a warning."
    )
    undefined = {"warn": "is a warning", "fail": "fails", "ignore": "is ignored"}.get(policy["on_undefined"], "is a warning")
    errors = " Warnings count as failures." if policy["warnings_as_errors"] else ""
    return f"{text} A value that is undefined {undefined}.{errors}"


def _rule(audit: Audit, row: Mapping[str, Any]) -> Rule:
    place = " by ".join(part for part in (row["attribute"], row["identity"]) if part)
    group = f", group {row['group']}" if row.get("group") is not None else ""
    where = ", ".join(part for part in (place + group, audit.title_of(row["condition"])) if part)
    value = number(row["value"])
    text = fixed(value) if math.isfinite(value) else "undefined"
    words = row["words"] if math.isfinite(value) else f"{row['words']} {audit.reason(row['reason'])}"
    limit = ("\u2264\u00a0" if row["side"] == "max" else "\u2265\u00a0") + fixed(row["limit"])
    severity = " (only a warning)" if row.get("severity") == "warning" else ""
    return Rule(
        row["state"], STATES.get(row["state"], row["state"]) + severity, row["name"], where, text,
        span(row["lo"], row["hi"], fixed) or DASH, limit, words, _strip(row),
    )  # fmt: skip


def _strip(row: Mapping[str, Any]) -> Strip | None:
    value, limit = number(row["value"]), number(row["limit"])
    low, high = number(row["lo"]), number(row["hi"])
    if not (math.isfinite(value) and math.isfinite(limit)):
        return None
    known = [x for x in (value, limit, low, high, 0.0) if math.isfinite(x)]
    least, most = min(known), max(known)
    width = (most - least) or 1.0

    def place(x: float) -> float:
        return round(4 + 92 * (x - least) / width, 2) if math.isfinite(x) else math.nan

    return Strip(place(value), place(low), place(high), place(limit), place(0.0))


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
        low, high = interval(compressed)
        ends = span(low, high, lambda x: measured(metric, x))
        before = measured(metric, mean(dense)) if metric != "cie_share" and math.isfinite(mean(dense)) else ""
        cards.append(
            Card(curve["title"], before, measured(metric, mean(compressed)), f"95 % interval {ends}" if ends else "")
        )
    return tuple(cards)


def glance_table(audit: Audit) -> Table:
    """One row a condition with the curves' means and how many pairs rose for sure."""
    curves = [curve for curve in (_curve(audit, metric) for metric in GLANCE) if curve is not None]
    rows = [
        (
            condition.title, f"{condition.seeds}",
            *(
                DASH if condition.dense and curve["metric"] == "cie_share" else measured(curve["metric"], mean(_point(curve, condition.id)))
                for curve in curves
            ),
            DASH if condition.dense else _risen(audit, condition.id),
        )
        for condition in audit.conditions
    ]  # fmt: skip
    headings = ("Models", "Seeds", *(curve["title"] for curve in curves), "Pairs that rose for sure")
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

"""The verdict, and the rules of the policy that led to it, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tamis.report._format import DASH
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import fixed, number, span

WORDS = {
    "pass": ("Policy met", "\u2713"),
    "warn": ("Policy met, with warnings", "!"),
    "fail": ("Policy not met", "\u2715"),
    "none": ("No verdict", DASH),
}
RULES = {
    "ba_change": "Rise of bias amplification",
    "ba": "Bias amplification",
    "psi": "Accuracy lost beyond the average",
    "accuracy_drop": "Loss of accuracy",
    "auc_drop": "Loss of area under the ROC curve",
    "ece_rise": "Rise of calibration error",
    "uncertainty_rise": "Rise of uncertain predictions",
    "cie_share": "Share of changed predictions",
    "tcb_relative": "Threshold calibration against dense",
}
STATES = {"fail": "fails", "warn": "warning", "pass": "passes", "ignored": "ignored"}
AT_MOST = 20  # rows of the policy that are shown unfolded


@dataclass(frozen=True)
class Strip:
    """A value, its interval and the limit on a line of 100 units; NaN where absent."""

    value: float
    low: float
    high: float
    limit: float


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
        state,
        title,
        sign,
        values["words"],
        counts,
        tuple(first),
        tuple(replace(rule, strip=None) for rule in rules if id(rule) not in shown),  # hundreds, so without pictures
        _terms(policy),
    )


def _terms(policy: Mapping[str, Any] | None) -> str:
    """How the policy judges, in words."""
    if not policy:
        return ""
    text = (
        "Strict: a rule passes only if the whole interval keeps the limit."
        if policy["strict"]
        else "A rule fails only if the whole interval lies beyond the limit; a value beyond it whose interval reaches "
        "back is a warning."
    )
    undefined = {"warn": "is a warning", "fail": "fails", "ignore": "is ignored"}.get(
        policy["on_undefined"], "is a warning"
    )
    errors = " Warnings count as failures." if policy["warnings_as_errors"] else ""
    return f"{text} A value that is undefined {undefined}.{errors}"


def _rule(audit: Audit, row: Mapping[str, Any]) -> Rule:
    who = f"not {row['identity']}" if row.get("group") == 0 else row["identity"]
    place = " by ".join(part for part in (row["attribute"], who) if part)
    where = ", ".join(part for part in (place, audit.title_of(row["condition"])) if part)
    value = number(row["value"])
    text = fixed(value) if math.isfinite(value) else "undefined"
    limit = ("\u2264\u00a0" if row["side"] == "max" else "\u2265\u00a0") + fixed(row["limit"])
    severity = " (only a warning)" if row.get("severity") == "warning" else ""
    return Rule(
        row["state"],
        STATES.get(row["state"], row["state"]) + severity,
        _name(row),
        where,
        text,
        span(row["lo"], row["hi"], fixed) or DASH,
        limit,
        _judgement(audit, row),
        _strip(row),
    )


def _name(row: Mapping[str, Any]) -> str:
    """The rule in words: the policy's own name for it if it has one, else what its metric means."""
    metric = RULES.get(row["metric"], row["metric"].replace("_", " "))
    scope = {"mean": ", mean", "worst": ", worst"}.get(row["over"], "")
    return metric + scope if row["name"].startswith(row["metric"]) else row["name"]


def _judgement(audit: Audit, row: Mapping[str, Any]) -> str:
    """Why the rule came out as it did."""
    value, limit, low, high = (number(row[key]) for key in ("value", "limit", "lo", "hi"))
    if not math.isfinite(value):
        return audit.reason(row["reason"])
    why = f" {audit.reason(row['reason'])}" if row["reason"] == "too_few_clusters" else ""
    over = row["side"] == "max"
    near, beyond = (low, "above") if over else (high, "below")
    past = value > limit if over else value < limit
    if not past:
        wrong = math.isfinite(low) and (high > limit if over else low < limit)
        return f"The value keeps the limit, its interval reaches {beyond} it." if wrong else f"Keeps the limit.{why}"
    if not math.isfinite(near):
        return f"Lies {beyond} the limit; there is no interval.{why}"
    sure = near > limit if over else near < limit
    return (
        f"The whole interval lies {beyond} the limit."
        if sure
        else f"Lies {beyond} the limit, but the interval reaches back to it."
    )


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

    return Strip(place(value), place(low), place(high), place(limit))

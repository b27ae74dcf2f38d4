"""Holding a report against a policy: rows of the table, verdict and exit code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tamis.audit._names import display
from tamis.audit._policy import METRICS, Policy, Rule, State, exit_code, policy_rule
from tamis.audit._reasons import OF_THE_DATA

_ORDER = {"fail": 0, "warn": 1, "pass": 2, "ignored": 3}


@dataclass(frozen=True)
class Gate:
    """How a report meets a policy.

    Attributes:
        policy: the limits.
        rows: one for each value that a rule was held against, worst first; see ``policy.rows`` in docs/audit_json.md.
        exit_code: 0 policy met (warnings allowed), 1 not met, 2 no rule could be evaluated.
    """

    policy: Policy
    rows: tuple[Mapping[str, Any], ...]
    exit_code: int

    @property
    def state(self) -> str:
        """pass, warn, fail, or none where no rule could be evaluated."""
        if self.exit_code == 2:
            return "none"
        worst = min((row["state"] for row in self.rows), key=_ORDER.__getitem__, default="pass")
        return "fail" if self.exit_code == 1 else "warn" if worst in ("warn", "fail") else "pass"

    def as_json(self) -> dict[str, Any]:
        """The key ``policy`` of docs/audit_json.md."""
        return {
            "strict": self.policy.strict,
            "on_undefined": self.policy.on_undefined,
            "warnings_as_errors": self.policy.warnings_as_errors,
            "rows": [dict(row) for row in self.rows],
        }

    def verdict(self) -> dict[str, Any]:
        """The key ``verdict`` of docs/audit_json.md."""
        counts = {state: sum(row["state"] == state for row in self.rows) for state in _ORDER}
        passed = f"{_many(counts['pass'], 'check')} passed"
        words = {
            "pass": f"The policy is met: {passed}.",
            "warn": f"The policy is met with {_many(counts['warn'], 'warning')}; {passed}.",
            "fail": f"The policy is not met: {_many(counts['fail'], 'check')} failed, {counts['warn']} warned.",
            "none": "No rule of the policy could be evaluated.",
        }[self.state]
        if self.state == "fail" and not counts["fail"]:
            words = f"The policy is not met: {_many(counts['warn'], 'warning')} counted as failed."
        return {"state": self.state, "exit_code": self.exit_code, "words": words}


def check_content(content: Mapping[str, Any], policy: Policy) -> Gate:
    """Hold the JSON object of a report against a policy."""
    rows = [row for number, rule in enumerate(policy.rules) for row in _rule_rows(content, policy, number, rule)]
    rows.sort(key=lambda row: (_ORDER[row["state"]], row["rule"]))
    evaluated = [row for row in rows if row["value"] is not None]
    states: list[State] = [row["state"] for row in rows] if evaluated else []
    return Gate(policy, tuple(rows), exit_code(states, policy.warnings_as_errors))


def _rule_rows(content: Mapping[str, Any], policy: Policy, number: int, rule: Rule) -> Iterator[dict[str, Any]]:
    for condition in content["conditions"]:
        if condition["role"] == "dense":
            continue
        subjects: list[tuple[Mapping[str, Any], Mapping[str, Any]]]
        if rule.over == "mean":
            subjects = [({}, content["means"][condition["id"]][rule.metric])]
        else:
            every = _subjects(content, condition["id"], rule.metric)
            subjects = [subject for subject in every if subject[1]["reason"] not in OF_THE_DATA]
        rows = [_row(policy, number, rule, condition["id"], *subject) for subject in subjects]
        if rule.over == "worst":
            sign = 1 if rule.side == "max" else -1
            defined = [row for row in rows if row["value"] is not None]
            # a sure breach is worse than a larger value whose interval reaches back
            worst = min(defined, key=lambda row: (_ORDER[row["state"]], -sign * row["value"]), default=None)
            undefined = [row for row in rows if row["value"] is None]
            rows = [*([worst] if worst else []), *undefined]
        yield from rows


def _subjects(
    content: Mapping[str, Any], condition: str, metric: str
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Every pair, group or attribute of a condition with its estimate; pairs that the dense models lack are left
    out."""
    kind = METRICS[metric][0]
    if kind == "pairs":
        for pair in content["pairs"]:
            if pair["condition"] == condition and not pair["dense"]["reason"]:
                found = pair["change"] if metric == "ba_change" else pair["compressed"]
                yield {"attribute": pair["attribute"], "identity": pair["identity"]}, found
    elif kind == "groups":
        for row in content["group_values"]:
            wanted = content["task"] == "multilabel" or row["attribute"] == ""  # of a softmax, the chosen class
            if row["condition"] == condition and row["psi"] is not None and wanted:
                keys = ("attribute", "identity", "group")
                yield {key: row[key] for key in keys}, row["psi"]
    else:
        for row in content["attribute_values"]:
            if row["condition"] == condition:
                yield {"attribute": row["attribute"]}, row["changes"][metric]


def _row(
    policy: Policy,
    number: int,
    rule: Rule,
    condition: str,
    subject: Mapping[str, Any],
    found: Mapping[str, Any],
) -> dict[str, Any]:
    value, interval = found["mean"], found["interval"]
    known = interval is not None and interval["lo"] is not None
    ends = (interval["lo"], interval["hi"]) if known else (value, value)
    if interval is not None and not known:  # too few clusters: nothing is sure
        ends = (-math.inf, math.inf)
    nan = float("nan")
    state = policy_rule(
        nan if value is None else value,
        (nan, nan) if value is None else ends,
        max=rule.max,
        min=rule.min,
        strict=policy.strict,
        on_undefined=policy.on_undefined,
    )
    if rule.severity == "warning" and state == "fail":
        state = "warn"
    row = {
        "rule": number,
        "name": rule.name,
        "metric": rule.metric,
        "over": rule.over,
        "severity": rule.severity,
        "condition": condition,
        "attribute": subject.get("attribute", ""),
        "identity": subject.get("identity", ""),
        "group": subject.get("group"),
        "value": value,
        "lo": None if value is None or not known else ends[0],
        "hi": None if value is None or not known else ends[1],
        "limit": rule.limit,
        "side": rule.side,
        "state": state,
        "reason": found["reason"] or ("no_interval" if interval is None else "" if known else "too_few_clusters"),
    }
    return row | {"words": _words(row)}


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _words(row: Mapping[str, Any]) -> str:
    subject = " x ".join(display(row[key]) for key in ("attribute", "identity") if row[key])
    if row["group"] is not None:
        subject += f", group {row['group']}"
    where = f"{display(row['condition'])}{': ' + subject if subject else ''}: {row['metric']}"
    if row["value"] is None:
        return f"{where} is undefined ({row['reason']})."
    spread = "without interval" if row["lo"] is None else f"[{row['lo']:.4f}, {row['hi']:.4f}]"
    limit = f"{'at most' if row['side'] == 'max' else 'at least'} {row['limit']:g}"
    return f"{where} {row['value']:.4f} {spread}, {limit}: {row['state']}."

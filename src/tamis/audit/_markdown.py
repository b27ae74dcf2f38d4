"""A report as Markdown: for pull requests, and for the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tamis.audit._names import display

MOST_PAIRS = 10
MOST_CHECKS = 50  # a policy over hundreds of pairs may fail in most of them
STATES = {"fail": "failed", "warn": "warned", "pass": "passed", "ignored": "ignored"}
OTHER = ("recall_gap", "a_to_t", "t_to_a", "zhao_ba", "cev", "sde")
SHOWN = ("accuracy", "uncertainty", "tcb", "ece", "interdependence", "ba", "ba_max", "cie_share")


def markdown(content: Mapping[str, Any]) -> str:
    """Verdict, policy table, means by condition, the largest changes, and what is undefined."""
    verdict = content["verdict"]
    parts = ["# Bias audit" if content["policy"] is None else f"# Bias audit: {verdict['state']}", verdict["words"]]
    if content["policy"] is not None:
        parts += ["## Policy", _policy(content["policy"]["rows"])]
    parts += [
        "## Means by condition",
        _means(content, SHOWN),
        "## Largest changes of bias amplification",
        _pairs(content),
    ]
    parts += ["## Other definitions", _means(content, OTHER)]
    gone = content["undefined"]
    if gone:
        codes = sorted({row["reason"] for row in gone})
        counts = {code: sum(row["reason"] == code for row in gone) for code in codes}
        lines = [f"- `{code}` ({count}): {content['reasons'][code]}" for code, count in counts.items()]
        parts += ["## Undefined", "\n".join(lines)]
    notes = content["provenance"]["notes"]
    if notes:
        parts += ["## Notes", "\n".join(f"- {safe(note)}" for note in notes)]
    return "\n\n".join(parts) + "\n"


def safe(text: str) -> str:
    """A name that Markdown and the HTML in it show as text."""
    clean = display(str(text), 120).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|!~$])", r"\\\1", clean)


def _policy(rows: Sequence[Mapping[str, Any]]) -> str:
    bad = [row for row in rows if row["state"] in ("fail", "warn")]
    shown = bad[:MOST_CHECKS] or rows[:MOST_PAIRS]
    table = _table(
        ("", "condition", "what", "metric", "value", "interval", "limit"),
        (
            (
                row["state"],
                safe(row["condition"]),
                safe(_subject(row)),
                safe(row["metric"]),
                _number(row["value"]) if row["value"] is not None else safe(row["reason"]),
                _interval(row["lo"], row["hi"]),
                f"{'<=' if row['side'] == 'max' else '>='} {row['limit']:g}".replace("<", "&lt;").replace(">", "&gt;"),
            )
            for row in shown
        ),
    )
    rest = [row["state"] for row in rows[len(shown) :]]  # rows are sorted, worst first
    more = ", ".join(f"{rest.count(state)} {word}" for state, word in STATES.items() if state in rest)
    return f"{table}\n\nFurther checks: {more}." if more else table


def _subject(row: Mapping[str, Any]) -> str:
    if row["over"] == "mean":
        return "mean"
    names = " x ".join(row[key] for key in ("attribute", "identity") if row[key])
    return names if row["group"] is None else f"{names}, group {row['group']}"


def _means(content: Mapping[str, Any], metrics: Sequence[str]) -> str:
    curves = {curve["metric"]: {point["condition"]: point for point in curve["points"]} for curve in content["curves"]}
    rows = []
    for condition in content["conditions"]:
        cells = []
        for metric in metrics:
            point = curves.get(metric, {}).get(condition["id"])
            cells.append("" if point is None else _number(point["mean"]) or safe(point["reason"]))
        rows.append((safe(condition["id"]), str(len(condition["seeds"])), *cells))
    return _table(("condition", "seeds", *(safe(metric) for metric in metrics)), rows)


def _pairs(content: Mapping[str, Any]) -> str:
    defined = [pair for pair in content["pairs"] if pair["change"]["mean"] is not None]
    defined.sort(key=lambda pair: (-pair["change"]["mean"], pair["condition"], pair["attribute"], pair["identity"]))
    rows = []
    for pair in defined[:MOST_PAIRS]:
        rows.append((
            safe(pair["condition"]), safe(f"{pair['attribute']} x {pair['identity']}"), _number(pair["dense"]["mean"]),
            _number(pair["compressed"]["mean"]), f"{pair['change']['mean']:+.4f}",
            _change_interval(pair["change"]["interval"]), _number(pair["q"]),
        ))  # fmt: skip
    if not rows:
        return "No pair is defined."
    return _table(("condition", "pair", "dense", "compressed", "change", "interval", "q"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _interval(lo: float | None, hi: float | None) -> str:
    return "" if lo is None or hi is None else f"[{lo:+.4f}, {hi:+.4f}]"


def _change_interval(interval: Mapping[str, Any] | None) -> str:
    """Its ends, or why it has none."""
    if interval is None:
        return ""
    return _interval(interval["lo"], interval["hi"]) or safe(", ".join(interval["notes"]))

"""What is undefined and why, and where every number comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tamis.report._format import DASH
from tamis.report._sections import facts
from tamis.report._tables import Table
from tamis.report.audit._content import Audit
from tamis.report.audit._estimates import fixed, number

NAMED = 8  # pairs that are named in the overview
THRESHOLDS = {
    "zero": "logit 0 (probability one half)",
    "calibrated": "calibrated on validation data, for each model and attribute",
    "published": "calibrated on validation data as the paper's code does",
    "given": "given by the user",
}
FACTS = ("command", "tamis", "numpy", "python", "settings", "labels", "train", "valid", "notes")


@dataclass(frozen=True)
class Undefined:
    """Overview by reason, every value in a table, and the pairs that left the common support."""

    overview: Table | None
    values: Table | None
    lost: Table | None


def undefined_of(audit: Audit) -> Undefined:
    """All values that have a reason instead of a number."""
    groups: dict[str, dict[str, list[str]]] = {}
    for row in audit.values["undefined"]:
        groups.setdefault(row["reason"], {}).setdefault(_value(audit, row), []).append(audit.title_of(row["condition"]))
    overview = tuple(
        (audit.reason(code), f"{sum(map(len, values.values())):,}", _listed(audit, values))
        for code, values in sorted(groups.items(), key=lambda item: -sum(map(len, item[1].values())))
    )
    rows = tuple(
        (row["metric"], _what(audit, row), row["words"] or audit.reason(row["reason"]))
        for row in audit.values["undefined"]
    )
    lost = tuple(
        (f"{row['attribute']} by {row['identity']}", audit.title_of(row["condition"]), audit.reason(row["reason"]))
        for row in audit.values["lost"]
    )
    return Undefined(
        Table(("Why", "Values", "Which"), (False, True, False), overview) if overview else None,
        Table(("Measure", "Where", "Why"), (False, False, False), rows) if len(rows) > NAMED else None,
        Table(("Pair", "Undefined for", "Why"), (False, False, False), lost) if lost else None,
    )


def _value(audit: Audit, row: Mapping[str, Any]) -> str:
    """Measure and pair in words."""
    titles = {curve["metric"]: curve["title"] for curve in audit.values["curves"]}
    metric = {**titles, "ba": "Bias amplification"}.get(row["metric"], row["metric"].replace("_", " "))
    pair = " by ".join(part for part in (row["attribute"], row["identity"]) if part)
    return f"{metric} of {pair}" if pair else metric


def _what(audit: Audit, row: Mapping[str, Any]) -> str:
    return f"{_value(audit, row)}, {audit.title_of(row['condition'])}"


def _listed(audit: Audit, values: Mapping[str, list[str]]) -> str:
    """The first few values with the conditions in which they are undefined."""
    everywhere = (len(audit.conditions), len(audit.compressed))
    parts = [
        f"{value} ({'everywhere' if len(where) in everywhere and len(where) > 1 else ', '.join(where)})"
        for value, where in list(values.items())[:NAMED]
    ]
    more = len(values) - NAMED
    return "; ".join(parts) + (f"; and {more:,} more" if more > 0 else "")


@dataclass(frozen=True)
class Origins:
    """Facts, the table of model files, and of thresholds other than zero."""

    command: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    models: Table
    thresholds: Table | None


def origins_of(audit: Audit) -> Origins:
    """Provenance as the report recorded it."""
    values = audit.values["provenance"]
    known = {key: values[key] for key in FACTS if key in values and key not in ("command", "notes")}
    source = (values.get("thresholds") or {}).get("source", "")
    labels = known.get("labels")
    if labels and isinstance(labels.get("missing"), Mapping):
        known["labels"] = {**labels, "missing": {name: count for name, count in labels["missing"].items() if count}}
    listed = [("thresholds", THRESHOLDS.get(source, source or DASH))]
    for key, value in known.items():
        if value is None:
            listed.append((key, "none"))
        else:
            listed += [(name.replace("_", " "), text) for name, text in facts({key: value})]
    models = tuple(
        (
            audit.title_of(row["condition"]),
            row["model"] or DASH,
            row["method"] or DASH,
            _level(row),
            str(row["seed"]),
            _text(row["dense_seed"]),
            row["sha256"],
        )
        for row in values.get("models", [])
    )
    headings = ("Models", "Network", "Method", "Level", "Seed", "Dense seed", "SHA-256 of the outputs")
    notes = [
        *values.get("notes", []),
        *(f"{c['id']}: {note}" for c in audit.values["conditions"] for note in c["notes"]),
    ]
    return Origins(
        values.get("command", ""),
        tuple(listed),
        tuple(dict.fromkeys(notes)),
        Table(headings, (False, False, False, True, True, True, False), models),
        _thresholds(audit, values),
    )


def _level(row: Mapping[str, Any]) -> str:
    return f"{row['level']:g} bits" if row["axis"] == "bits" else f"{number(row['level']):.6g}"


def _text(value: Any) -> str:
    return DASH if value is None else str(value)


def _thresholds(audit: Audit, values: Mapping[str, Any]) -> Table | None:
    rows = tuple(
        (
            audit.title_of(row["condition"]),
            _text(row["seed"]),
            row["attribute"],
            row["threshold"] if isinstance(row["threshold"], str) else fixed(row["threshold"], 4),
            _text(row["wanted"]),
            _text(row["achieved"]),
            "yes" if row["tied"] else "no",
        )
        for row in (values.get("thresholds") or {}).get("values", [])
    )
    headings = ("Models", "Seed", "Attribute", "Threshold (logit)", "Positives wanted", "Positives achieved", "Ties")
    return Table(headings, (False, True, False, True, True, True, False), rows) if rows else None

"""The numbers of a bias study as rows: one per network, one per pair of attribute and identity, and two more tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tamis.study._bias_audit import SetupAudit

Row = dict[str, Any]
CURVES = ("accuracy", "auc", "uncertainty", "very_uncertain", "tcb", "ece", "interdependence", "ba", "ba_max",
          "flip_share")  # fmt: skip
OVERRIDE_AT, CASCADE_AT = 0.4, (0.2, 0.3)


def network_rows(audits: Sequence[SetupAudit]) -> list[Row]:
    """One row per network: what it is, its audit's metrics, what it cost to train.

    ``sparsity`` is measured.  ``ba`` is the mean over the pairs defined in every network of the set-up, ``ba_max`` the
    largest; blank where a number is not defined.
    """
    return [row for one in audits for row in _networks(one)]


def _networks(one: SetupAudit) -> Iterator[Row]:
    values = _by_seed(one.content)
    for trained in one.cells:
        cell = trained.cell
        key = (_condition(one.content, cell.method, cell.bits, trained.summary["sparsity"]), cell.recipe.seed)
        found = values.get(key, {})
        yield {
            "setup": one.setup,
            "subject": one.subject,
            "method": cell.method,
            "requested": cell.bits or cell.recipe.sparsity,
            "sparsity": trained.summary["sparsity"],
            "seed": cell.recipe.seed,
            **{name: found.get(name, math.nan) for name in _metric_names()},
            "seed_flips": one.seed_flips.get(cell.name, math.nan),
            **one.conflict.get(cell.name, {}),
            "cpu_s": trained.summary["cpu_s"],
        }


def _metric_names() -> list[str]:
    names = [*CURVES]
    names += [f"{name}_calibrated" for name in ("accuracy", "tcb", "ba", "ba_max")]
    for kind in ("override_dense", "override_human", *(f"cascade_{width:g}" for width in CASCADE_AT)):
        names += [f"{kind}_{what}" for what in ("fraction", "accuracy", "ba", "tcb")]
    return names


def _by_seed(content: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, float]]:
    found: dict[tuple[str, int], dict[str, float]] = {}

    def note(condition: str, name: str, estimate: Mapping[str, Any]) -> None:
        for item in estimate["seeds"]:
            if item["value"] is not None:
                found.setdefault((condition, item["seed"]), {})[name] = item["value"]

    for curve in content["curves"]:
        for point in curve["points"] if curve["metric"] in CURVES else ():
            note(point["condition"], curve["metric"], point)
    for row in content["countermeasures"]["calibration"]:
        for name in ("accuracy", "tcb", "ba", "ba_max") if row["mode"] == "calibrated" else ():
            note(row["condition"], f"{name}_calibrated", row[name])
    for kind, curve, point in _asked(content):
        for name in ("fraction", "accuracy", "ba", "tcb"):
            note(curve["condition"], f"{kind}_{name}", point[name])
    return found


def _asked(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    for curve in content["countermeasures"]["override"]:
        for point in curve["points"]:
            if point["half_width"] == OVERRIDE_AT:
                yield f"override_{curve['reference']}", curve, point
    for curve in content["countermeasures"]["cascade"]:
        for point in curve["points"]:
            if point["half_width"] in CASCADE_AT and curve["reference"] == "dense":
                yield f"cascade_{point['half_width']:g}", curve, point


def _condition(content: Mapping[str, Any], method: str, bits: int, sparsity: float) -> str:
    """The audit's name for a network: its method's condition at the nearest level, which an audit may round."""
    if method == "dense":
        return "dense"
    level = float(bits) if bits else sparsity
    near = [(abs(row["level"] - level), row["id"]) for row in content["conditions"] if row["method"] == method]
    return str(min(near)[1]) if near and min(near)[0] < 1e-3 else ""


def pair_rows(audits: Sequence[SetupAudit]) -> list[Row]:
    """One row per set-up, compressed condition, attribute and identity: bias amplification of both sides, its change.

    ``lo_rows`` ... ``hi_clusters`` are the ends of the 95 % intervals of the change given these networks, drawing rows
    and drawing originals; blank where they are not defined.
    """  # fmt: skip
    rows = []
    for one in audits:
        for pair in one.content["pairs"]:
            row: Row = {
                "setup": one.setup,
                "subject": one.subject,
                "condition": pair["condition"],
                "attribute": pair["attribute"],
                "identity": pair["identity"],
                **{side: _number(pair[side]["mean"]) for side in ("dense", "compressed", "change")},
                **dict.fromkeys(("lo_rows", "hi_rows", "lo_clusters", "hi_clusters"), math.nan),
            }
            for interval in pair["intervals"]:
                if f"lo_{interval['kind']}" in row:
                    for end in ("lo", "hi"):
                        row[f"{end}_{interval['kind']}"] = _number(interval[end])
            rows.append({**row, "p": _number(pair["p"]), "q": _number(pair["q"]), "reason": pair["reason"]})
    return rows


def curve_rows(audits: Sequence[SetupAudit]) -> list[Row]:
    """One row per set-up, condition, countermeasure and half-width: means over the seeds of what it asks and mends."""
    rows = []
    for one in audits:
        for kind in ("override", "cascade"):
            for curve in one.content["countermeasures"][kind]:
                for point in curve["points"]:
                    rows.append({
                        "setup": one.setup,
                        "subject": one.subject,
                        "condition": curve["condition"],
                        "kind": kind,
                        "reference": curve["reference"],
                        "half_width": point["half_width"],
                        **{n: _number(point[n]["mean"]) for n in ("fraction", "accuracy", "ba", "tcb")},
                    })  # fmt: skip
    return rows


def condition_rows(audits: Sequence[SetupAudit]) -> list[Row]:
    """One row per set-up and compressed condition: exemplars, what foretold them, and pairs whose bias surely rose."""
    rows = []
    for one in audits:
        pairs = pair_rows([one])
        for condition in [row["id"] for row in one.content["conditions"] if row["role"] == "compressed"]:
            mine = [row for row in pairs if row["condition"] == condition and not row["reason"]]
            row: Row = {"setup": one.setup, "subject": one.subject, "condition": condition, "pairs": len(mine)}
            for kind in ("rows", "clusters"):
                row[f"pairs_risen_{kind}"] = sum(pair[f"lo_{kind}"] > 0 for pair in mine)
            row |= _exemplars(one.content, condition)
            for sample in one.content["criteria"]["samples"]:
                if sample["condition"] == condition and not sample["attribute"]:
                    row |= {f"sample_{name}": _number(sample[name]) for name in ("auroc", "flagged", "base")}
            for evidence in one.content["criteria"]["evidence"]:
                if evidence["condition"] == condition:
                    row[f"rho_{evidence['criterion']}"] = _number(evidence["spearman"])
                    row[f"p_{evidence['criterion']}"] = _number(evidence["p"])
                    row |= {"top": evidence["top"], "risen": evidence["risen"]}
                    row[f"top_risen_{evidence['criterion']}"] = evidence["top_risen"]
            rows.append(row)
    return rows


def _exemplars(content: Mapping[str, Any], condition: str) -> Row:
    """Over all attributes: share of exemplars, and the dense side of them."""
    found = next(item for item in content["exemplars"] if item["condition"] == condition)
    count = sum(item["count"] for item in found["attributes"])
    total = found["samples"] * len(found["attributes"])
    row: Row = {"cie_share": count / total if total else math.nan}
    for name in ("dense_uncertain", "dense_accuracy_on", "compressed_accuracy_on", "to_negative"):
        known = [(item["count"], item[name]) for item in found["attributes"] if item[name] is not None]
        weight = sum(number for number, _ in known)
        row[f"cie_{name}"] = sum(n * value for n, value in known) / weight if weight else math.nan
    return row


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)

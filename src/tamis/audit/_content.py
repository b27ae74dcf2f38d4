"""The JSON object of a report (docs/audit_json.md), made of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tamis.audit._comparison import Comparison
from tamis.audit._countermeasures import Curve
from tamis.audit._criteria import SampleEvidence
from tamis.audit._directional import Shift
from tamis.audit._estimates import Estimate, estimate, interval_json, number
from tamis.audit._evidence import Evidence, pair_key
from tamis.audit._group_metrics import RATES, RecallChange, group_report
from tamis.audit._inputs import Inputs
from tamis.audit._interdependence import interdependence
from tamis.audit._intervals import bh_adjust
from tamis.audit._measure import BINS, METRICS, Measured
from tamis.audit._models import DENSE
from tamis.audit._pair_changes import PairChange
from tamis.audit._reasons import REASONS, Value, mean_of, undefined
from tamis.audit._zhao import identity_row, zhao_values

SCHEMA = "tamis.audit/1"


def condition_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``conditions``."""
    rows = []
    for condition in evidence.conditions:
        about = condition.runs[0].about
        rows.append({
            "id": condition.id,
            "role": "dense" if condition.id == DENSE else "compressed",
            "model": about.model,
            "method": about.method,
            "axis": about.axis,
            "level": condition.level,
            "seeds": condition.seeds,
            "pairing": condition.pairing,
            "notes": list(condition.notes),
        })  # fmt: skip
    return rows


def attribute_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``attribute_values``."""
    rows = []
    for measured in evidence.measured:
        condition = measured.condition
        for k, name in enumerate(evidence.inputs.attributes):
            metrics = {
                metric: estimate(condition.seeds, [row[k] for row in measured.metrics[metric]]).as_json()
                for metric in METRICS
            }
            changes = evidence.changes.get(condition.id)
            found = {} if changes is None else {key: row[k].as_json() for key, row in changes.attributes.items()}
            if changes is not None:
                metrics["flip_share"] = changes.flips[k].as_json()
                metrics["cie_share"] = found["cie_share"]
            test = None if changes is None else _test_json(changes.recalls[k])
            rows.append(
                {"condition": condition.id, "attribute": name, "metrics": metrics, "changes": found,
                 "recall_test": test}
            )  # fmt: skip
    return rows


def _test_json(found: RecallChange) -> dict[str, Any]:
    return {"t": number(found.t), "p": number(found.p), "reason": found.t.reason}


def identity_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``identity_values``: bias amplification by predicted groups."""
    inputs = evidence.inputs
    return [
        identity_row(measured, evidence.comparisons.get(measured.condition.id), inputs, g)
        for measured in evidence.measured
        for g in range(len(inputs.identities))
    ]


def group_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``group_values``: rates and losses within both groups of every pair, and what they lost."""
    inputs = evidence.inputs
    rows = []
    for measured in evidence.measured:
        condition = measured.condition
        changes = evidence.changes.get(condition.id)
        comparison = evidence.comparisons.get(condition.id)
        psi = {} if changes is None else {(pair.attribute, pair.identity): pair.psi for pair in changes.pairs}
        for k, attribute in enumerate(inputs.attributes):
            for g, identity in enumerate(inputs.identities):
                reports = [group_report(table) for table in measured.tables[:, k, g]]
                for group in (0, 1):
                    rates = {
                        rate: estimate(condition.seeds, [report.rates[rate][group] for report in reports]).as_json()
                        for rate in RATES
                    }
                    change = psi[k, g][group].as_json() if (k, g) in psi else None
                    loss = estimate(condition.seeds, group_losses(measured, k, g, group)).as_json()
                    rows.append({
                        "condition": condition.id, "attribute": attribute, "identity": identity, "group": group,
                        "n": reports[0].n[group], **rates, "loss": loss, "psi": change,
                        "excess_loss": None if comparison is None else excess_loss(comparison, k, g, group).as_json(),
                    })  # fmt: skip
    return rows


def group_losses(measured: Measured, k: int, g: int, group: int) -> list[Value]:
    """Mean logistic loss of each run within one group of a pair; reason empty_group."""
    n = int(measured.tables[0, k, g, group].sum())
    sums = measured.losses[:, k, g, group]
    return [Value(float(total) / n) if n else undefined("empty_group") for total in sums]


def excess_loss(comparison: Comparison, k: int, g: int, group: int) -> Estimate:
    """Mean change of the loss of one group, compressed less dense (Tran et al. 2022), with a seed interval."""
    sides = (comparison.dense, comparison.compressed)
    dense, compressed = (group_losses(side, k, g, group) for side in sides)
    return comparison.change(dense, compressed)


def pair_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``pairs``; q values are over all pairs of all conditions."""
    pairs = [(name, pair) for name, changes in evidence.changes.items() for pair in changes.pairs]
    tested = [place for place, (_, pair) in enumerate(pairs) if pair.p is not None]
    q = dict(zip(tested, bh_adjust([float(pairs[place][1].p or 0) for place in tested]), strict=True))
    places = {condition.id: place for place, condition in enumerate(evidence.conditions)}
    return [_pair_row(evidence, places[name], pair, q.get(place)) for place, (name, pair) in enumerate(pairs)]


def _pair_row(evidence: Evidence, place: int, pair: PairChange, q: float | None) -> dict[str, Any]:
    inputs, k, g = evidence.inputs, pair.attribute, pair.identity
    measured, bias = evidence.measured[place], evidence.biases[place][k, g]
    dense = evidence.measured[0].tables[:, k, g]
    used = sorted(set(measured.condition.partners)) or list(range(len(dense)))
    counts = {"dense": dense[used].sum(axis=0), "compressed": measured.tables[:, k, g].sum(axis=0)}
    train = inputs.train[k][g]
    known = int(measured.tables[0, k, g].sum())
    return {
        "condition": measured.condition.id,
        "attribute": inputs.attributes[k],
        "identity": inputs.identities[g],
        "reason": pair.change.mean.reason,
        "toward": bias.toward,
        "headroom": number(bias.headroom),
        "dense": pair.dense.as_json(),
        "compressed": pair.compressed.as_json(),
        "change": pair.change.as_json(),
        "intervals": [interval_json(interval) for interval in pair.change.intervals],
        "p": pair.p,
        "q": q,
        "a_to_t": shift_json(pair.a_to_t),
        "t_to_a": shift_json(pair.t_to_a),
        "cev": pair.shifts[0].as_json(),
        "sde": pair.shifts[1].as_json(),
        "counts": {side: table.tolist() for side, table in counts.items()},
        "train": {"group1": [train.positives1, train.n1], "group0": [train.positives0, train.n0]},
        "missing": len(inputs.ids) - known,
    }


def shift_json(shift: Shift) -> dict[str, Any]:
    """Dense, compressed and change of a directional bias amplification."""
    return {key: getattr(shift, key).as_json() for key in ("dense", "compressed", "change")}


def label_reference(inputs: Inputs) -> dict[str, Any]:
    """The key ``reference``: interdependence of the true labels, over rows where all of them are known."""
    known = (inputs.y < 2).all(axis=0)
    if not known.any():
        return {"interdependence": []}
    found = interdependence(inputs.y[:, known].T)
    return {
        "interdependence": [
            {"attribute": name, "value": number(value), "reason": value.reason}
            for name, value in zip(inputs.attributes, found, strict=True)
        ]
    }


def histogram_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``histograms``."""
    return [
        {
            "condition": measured.condition.id,
            "attribute": attribute,
            "identity": identity,
            "bins": BINS,
            "counts": measured.histograms[k, g].tolist(),
        }
        for measured in evidence.measured
        for k, attribute in enumerate(evidence.inputs.attributes)
        for g, identity in enumerate(evidence.inputs.identities)
    ]


def means(evidence: Evidence) -> dict[str, Any]:
    """The key ``means``: condition -> metric of a policy -> the estimate of its mean."""
    return {
        name: {metric: found.as_json() for metric, found in changes.means.items()}
        for name, changes in evidence.changes.items()
    }


def undefined_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``undefined``: every value that does not exist, and why."""
    inputs = evidence.inputs
    rows = []
    for place, measured in enumerate(evidence.measured):
        name = measured.condition.id
        for (k, g), bias in evidence.biases[place].items():
            if not bias.mean.defined:
                rows.append((name, "ba", inputs.attributes[k], inputs.identities[g], bias.mean.reason))
        for g, identity in enumerate(inputs.identities):
            reason = mean_of(zhao_values(measured, inputs, g)).reason
            if reason:
                rows.append((name, "zhao_ba", "", identity, reason))
        changes = evidence.changes.get(name)
        for pair in () if changes is None else changes.pairs:
            for reason in dict.fromkeys(found.mean.reason for found in pair.psi if found.mean.reason):
                rows.append((name, "psi", inputs.attributes[pair.attribute], inputs.identities[pair.identity], reason))
        for metric in METRICS:
            for k, attribute in enumerate(inputs.attributes):
                reasons = [row[k].reason for row in measured.metrics[metric] if row[k].reason]
                if reasons:
                    rows.append((name, metric, attribute, "", reasons[0]))
    keys = ("condition", "metric", "attribute", "identity", "reason")
    return [dict(zip(keys, row, strict=True)) | {"words": REASONS[row[4]]} for row in rows]


def lost_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``lost``: pairs outside the common support that some condition defines, and the condition that lacks
    them."""
    inputs = evidence.inputs
    rows = []
    for (k, g), _ in evidence.biases[0].items():
        name = pair_key(k, g)
        if name in evidence.support.lost and any(biases[k, g].mean.defined for biases in evidence.biases):
            condition, reason = evidence.support.lost[name]
            rows.append({
                "attribute": inputs.attributes[k], "identity": inputs.identities[g], "condition": condition,
                "reason": reason,
            })  # fmt: skip
    return rows


def curve_rows(curves_of_condition: Sequence[Curve]) -> list[dict[str, Any]]:
    """Override or cascade curves as plain JSON types."""
    return [
        {
            "condition": curve.condition.id,
            "gate": curve.gate,
            "reference": curve.reference,
            "points": [
                {
                    "half_width": point.half_width,
                    "fraction": point.fraction.as_json(),
                    "accuracy": point.accuracy.as_json(),
                    "ba": point.ba.as_json(),
                    "tcb": point.tcb.as_json(),
                }
                for point in curve.points
            ],
        }
        for curve in curves_of_condition
    ]


def sample_rows(condition: str, found: Sequence[SampleEvidence], inputs: Inputs) -> list[dict[str, Any]]:
    """How well dense uncertainty foretold flips."""
    return [
        {
            "condition": condition,
            "attribute": "" if row.attribute is None else inputs.attributes[row.attribute],
            "auroc": number(row.auroc.mean),
            "flagged": number(row.flagged.mean),
            "base": number(row.base.mean),
            "flips": row.flips,
            "reason": row.auroc.mean.reason,
        }
        for row in found
    ]

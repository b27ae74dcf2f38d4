"""The key ``curves`` of a report: every metric over the conditions, with a common support."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tamis.audit._changes import Changes
from tamis.audit._estimates import Estimate, estimate
from tamis.audit._evidence import Evidence, kept_attributes, pair_key
from tamis.audit._models import Condition
from tamis.audit._other_means import DEFINITIONS, other_estimate
from tamis.audit._pair_changes import Biases
from tamis.audit._reasons import Value, undefined

# metric of a curve -> (title, which direction is better)
TITLES = {
    "accuracy": ("Accuracy", "higher"),
    "auc": ("Area under the ROC curve", "higher"),
    "uncertainty": ("Share of uncertain predictions", "lower"),
    "very_uncertain": ("Share of very uncertain predictions", "lower"),
    "ece": ("Calibration error", "lower"),
    "tcb": ("Threshold calibration bias (1 is none)", ""),
    "tcb_log": ("Threshold calibration bias, smoothed logarithm (0 is none)", ""),
    "interdependence": ("Interdependence of attributes", ""),
    "predicted_positive": ("Share of predicted positives", ""),
    "recall_gap": ("Recall less accuracy", ""),
    "ba": ("Bias amplification, mean over pairs", "lower"),
    "ba_max": ("Bias amplification, largest pair", "lower"),
    "cie_share": ("Share of changed predictions (exemplars)", "lower"),
    "flip_share": ("Share of changed predictions, seed by seed", "lower"),
    "a_to_t": ("Directional bias amplification, identity to attribute", "lower"),
    "t_to_a": ("Directional bias amplification, attribute to identity", "lower"),
    "zhao_ba": ("Bias amplification by predicted groups (Zhao et al.)", "lower"),
    "cev": ("Spread of the relative changes of error rates, squared % (CEV)", "lower"),
    "sde": ("Imbalance of the relative changes of error rates, % (SDE)", "lower"),
}
OVER = {"ba": "pairs", "ba_max": "pairs", "a_to_t": "pairs", "t_to_a": "pairs", "zhao_ba": "identities"}
# metric of a curve -> its change among the means
CHANGE_OF = {
    "accuracy": "accuracy_drop",
    "uncertainty": "uncertainty_rise",
    "tcb_log": "tcb_relative",
    "ba": "ba_change",
    "recall_gap": "recall_change",
    **{metric: f"{metric}_change" for metric in DEFINITIONS},
}
ONLY_COMPRESSED = ("cie_share", "flip_share", "cev", "sde")  # comparisons, which the dense models alone do not have


def curves(evidence: Evidence) -> list[dict[str, Any]]:
    """The key ``curves``: every metric over conditions, means over attributes or pairs with a common support."""
    rows = []
    for metric in TITLES:
        points = []
        for place, measured in enumerate(evidence.measured):
            found = _point(evidence, place, metric)
            if found is None:
                continue
            changes = evidence.changes.get(measured.condition.id)
            change = changes.means.get(CHANGE_OF.get(metric, metric)) if changes else None
            points.append({
                "condition": measured.condition.id, **found.as_json(),
                "change": change.as_json() if change else None,
            })  # fmt: skip
        title, better = TITLES[metric]
        rows.append(
            {
                "metric": metric,
                "title": title,
                "better": better,
                "over": OVER.get(metric, "attributes"),
                "points": points,
            }
        )
    return rows


def _point(evidence: Evidence, place: int, metric: str) -> Estimate | None:
    measured = evidence.measured[place]
    condition = measured.condition
    changes = evidence.changes.get(condition.id)
    if metric in ONLY_COMPRESSED:
        if changes is None:
            return None
        return _flip_mean(changes) if metric == "flip_share" else changes.means[metric]
    if metric in DEFINITIONS:
        return other_estimate(measured, evidence.inputs, metric)
    if metric in ("ba", "ba_max"):
        kept = evidence.support.pairs[condition.id]
        pairs = [pair for pair in evidence.biases[place] if pair_key(*pair) in set(kept)]
        return _over_pairs(condition, evidence.biases[place], pairs, metric == "ba_max")
    kept_columns = kept_attributes(evidence.measured, evidence.settings, metric, place)
    if not kept_columns:
        return Estimate(_why_none(evidence, place, metric))
    return estimate(condition.seeds, [
        Value(math.fsum(row[k].value for k in kept_columns) / len(kept_columns)) for row in measured.metrics[metric]
    ])  # fmt: skip


def _why_none(evidence: Evidence, place: int, metric: str) -> Value:
    reasons = [value.reason for row in evidence.measured[place].metrics[metric] for value in row if value.reason]
    return undefined(reasons[0] if reasons else "no_pairs")


def _flip_mean(changes: Changes) -> Estimate:
    seeds = changes.condition.seeds
    rows = [[column.seeds[i][1].value for column in changes.flips] for i in range(len(seeds))]
    return estimate(seeds, [Value(float(np.mean(row))) for row in rows])


def _over_pairs(condition: Condition, biases: Biases, pairs: Sequence[tuple[int, int]], largest: bool) -> Estimate:
    if not pairs:
        return Estimate(undefined("no_pairs"))
    fold = max if largest else (lambda row: math.fsum(row) / len(row))
    rows = [[biases[pair].values[i].value for pair in pairs] for i in range(len(condition.runs))]
    return estimate(condition.seeds, [Value(float(fold(row))) for row in rows])

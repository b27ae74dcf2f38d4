"""Accuracy of the chosen class by group, for the classes of one softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._delta import Influence, clusters_apart
from tamis.audit._estimates import Estimate, estimate
from tamis.audit._evidence import Evidence
from tamis.audit._measure import correct
from tamis.audit._psi import psi_reason, psi_steps
from tamis.audit._reasons import Value, undefined
from tamis.audit._row_changes import with_delta


def top1_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Entries of ``group_values`` with attribute "": accuracy of the chosen class, and psi; empty for other tasks."""
    if evidence.conditions[0].runs[0].about.task != "multiclass":
        return []
    rows = []
    for condition in evidence.conditions:
        right = [correct(run, evidence.inputs) for run in condition.runs]
        comparison = evidence.comparisons.get(condition.id)
        for g, (identity, member) in enumerate(zip(evidence.inputs.identities, evidence.inputs.groups, strict=True)):
            known = (member < 2) & (evidence.inputs.y < 2).all(axis=0)
            for group in (0, 1):
                inside = known & (member == group)
                accuracy = estimate(condition.seeds, [_mean(hits, inside) for hits in right])
                psi = None if comparison is None else _psi(comparison, g, known, inside).as_json()
                rows.append({
                    "condition": condition.id, "attribute": "", "identity": identity, "group": group,
                    "n": int(inside.sum()), "accuracy": accuracy.as_json(), "psi": psi,
                })  # fmt: skip
    return rows


def _mean(hits: np.ndarray, inside: np.ndarray) -> Value:
    return Value(float(hits[inside].mean())) if inside.any() else undefined("empty_group")


def _psi(comparison: Comparison, g: int, known: np.ndarray, inside: np.ndarray) -> Estimate:
    """Accuracy that the group lost, less what all lost, with delta intervals."""
    inputs, size, total = comparison.inputs, int(inside.sum()), int(known.sum())
    reason = psi_reason(comparison, g, size)
    if reason:
        return Estimate(undefined(reason))
    sides = []
    for side in (comparison.dense, comparison.compressed):
        hits = [correct(run, inputs) for run in side.condition.runs]
        sides.append([Value(float(row[known].mean() - row[inside].mean())) for row in hits])
    lost = -np.sum([share * correct(run, inputs) for run, share in comparison.weighted_runs], axis=0)
    rows = (
        np.where(inside, lost - lost[inside].mean(), 0) / size - np.where(known, lost - lost[known].mean(), 0) / total
    )
    cluster = inputs.cluster
    clusters = None if cluster is None else clusters_apart(cluster[known], inside[known])
    influence = Influence(rows, comparison.spare(*psi_steps(size, total)), clusters)
    return with_delta(comparison.change(sides[0], sides[1]), influence, inputs, comparison.settings)

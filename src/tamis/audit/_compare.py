"""From aligned models to the evidence, and from the evidence to the report's object."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from tamis.audit._calibration import Thresholds, find_thresholds
from tamis.audit._changes import changes_of
from tamis.audit._comparison import Comparison, modal_predictions
from tamis.audit._content import (
    SCHEMA,
    attribute_rows,
    condition_rows,
    curve_rows,
    group_rows,
    histogram_rows,
    identity_rows,
    label_reference,
    lost_rows,
    means,
    pair_rows,
    sample_rows,
    undefined_rows,
)
from tamis.audit._countermeasures import curves_of, with_thresholds
from tamis.audit._criteria import attribute_risks, rank_evidence, risks_json, sample_evidence
from tamis.audit._curve_points import curves
from tamis.audit._evidence import Evidence, kept_attributes, pair_key, support_of
from tamis.audit._inputs import Inputs
from tamis.audit._labels import Labels
from tamis.audit._measure import METRICS, measure
from tamis.audit._models import Condition
from tamis.audit._outputs import Outputs
from tamis.audit._pair_changes import pair_biases
from tamis.audit._provenance import provenance
from tamis.audit._reasons import REASONS
from tamis.audit._samples import exemplars_json
from tamis.audit._settings import Settings
from tamis.audit._top1 import top1_rows


def compare(conditions: Sequence[Condition], inputs: Inputs, settings: Settings, thresholds: Thresholds) -> Evidence:
    """Measure all conditions and compare the compressed ones with the dense ones, which come first."""
    threads = usable_threads()
    measured = [measure(condition, inputs, settings, threads) for condition in conditions]
    biases = [pair_biases(found, inputs, settings) for found in measured]
    support = support_of(measured, biases, settings)
    kept = {metric: tuple(kept_attributes(measured, settings, metric, 0)) for metric in METRICS}
    mode = modal_predictions(conditions[0].runs)
    comparisons, changes = {}, {}
    for number, found in enumerate(measured[1:], 1):
        name = found.condition.id
        comparisons[name] = Comparison(number, measured[0], found, inputs, settings, mode, kept)
        pairs = _common(support.pairs[name], biases[0], biases[number])
        changes[name] = changes_of(comparisons[name], biases[0], biases[number], pairs, threads)
    return Evidence(inputs, settings, thresholds, measured, biases, support, comparisons, changes)


def assemble(evidence: Evidence, command: str, digests: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a report, without a policy."""
    threads = usable_threads()
    inputs = evidence.inputs
    risks = attribute_risks(evidence.measured[0], evidence.biases[0], inputs)
    ranked, samples, asked = [], [], []
    for number, (name, comparison) in enumerate(evidence.comparisons.items(), 1):
        pairs = _common(evidence.support.pairs[name], evidence.biases[0], evidence.biases[number])
        ranked += rank_evidence(risks, evidence.changes[name], pairs)
        samples += sample_rows(name, sample_evidence(comparison, threads), inputs)
        asked += curves_of(comparison, evidence.biases[number], pairs, threads)
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "task": evidence.conditions[0].runs[0].about.task,
        "attributes": list(inputs.attributes),
        "identities": list(inputs.identities),
        "conditions": condition_rows(evidence),
        "verdict": {"state": "none", "exit_code": 0, "words": "No policy was given."},
        "policy": None,
        "curves": curves(evidence),
        "means": means(evidence),
        "pairs": pair_rows(evidence),
        "attribute_values": attribute_rows(evidence),
        "group_values": [*group_rows(evidence), *top1_rows(evidence)],
        "identity_values": identity_rows(evidence),
        "histograms": histogram_rows(evidence),
        "exemplars": [exemplars_json(comparison) for comparison in evidence.comparisons.values()],
        "criteria": {"attributes": risks_json(risks, inputs), "evidence": ranked, "samples": samples},
        "countermeasures": {
            "calibration": [],
            "override": curve_rows([curve for curve in asked if curve.gate == "dense"]),
            "cascade": curve_rows([curve for curve in asked if curve.gate == "compressed"]),
        },
        "reference": label_reference(inputs),
        "undefined": undefined_rows(evidence),
        "lost": lost_rows(evidence),
        "provenance": provenance(evidence, command, digests),
    }
    content["reasons"] = {code: REASONS[code] for code in sorted(_codes(content)) if code in REASONS}
    return content


def calibration_rows(evidence: Evidence, validation: tuple[Labels, Sequence[Outputs]] | None) -> list[dict[str, Any]]:
    """Accuracy, threshold bias and bias amplification with thresholds at 0, calibrated, and as the paper's code sets
    them.

    Empty without validation outputs, and for the classes of one softmax.
    """
    models = [run.about for condition in evidence.conditions for run in condition.runs]
    if validation is None or models[0].task == "multiclass":
        return []
    rows = []
    for source in ("zero", "calibrated", "published"):
        found = find_thresholds(source, models, evidence.inputs.attributes, validation)
        conditions = [
            with_thresholds(condition, {i: found.of(run.about) for i, run in enumerate(condition.runs)})
            for condition in evidence.conditions
        ]
        rows += _calibrated(conditions, evidence, source)
    return rows


def _calibrated(conditions: Sequence[Condition], evidence: Evidence, source: str) -> list[dict[str, Any]]:
    inputs, settings = evidence.inputs, evidence.settings
    measured = [measure(condition, inputs, settings, usable_threads()) for condition in conditions]
    changed = Evidence(
        inputs, settings, evidence.thresholds, measured, biases := [pair_biases(m, inputs, settings) for m in measured],
        support_of(measured, biases, settings), {}, {},
    )  # fmt: skip
    found = {curve["metric"]: curve["points"] for curve in curves(changed)}
    return [
        {
            "condition": condition.id,
            "mode": source,
            "pairs": len(changed.support.pairs[condition.id]),
            **{name: found[name][place] for name in ("accuracy", "tcb", "ba", "ba_max")},
        }
        for place, condition in enumerate(conditions)
    ]


def usable_threads() -> int:
    """Processors that this process may use, at most 8; they change the time and never the result."""
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


def _common(names: Sequence[str], *sides: Mapping[tuple[int, int], Any]) -> list[tuple[int, int]]:
    """Pairs of a mean by their numbers; with support "each", those that the dense models define too."""
    kept = set(names)
    return [pair for pair in sides[0] if pair_key(*pair) in kept and all(side[pair].mean.defined for side in sides)]


def _codes(tree: Any) -> set[str]:
    """All reason codes and notes of intervals in a tree of plain types."""
    if isinstance(tree, dict):
        own = {tree["reason"]} if isinstance(tree.get("reason"), str) else set()
        notes = {note for note in tree.get("notes", []) if isinstance(note, str)} if "kind" in tree else set()
        return own | notes | set().union(*(_codes(value) for value in tree.values()), set())
    if isinstance(tree, list):
        return set().union(*(_codes(value) for value in tree), set())
    return set()

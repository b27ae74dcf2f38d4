"""Changes that are means over test rows: accuracy, uncertainty, exemplars, threshold bias, with delta intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._delta import Influence, delta_intervals, distinct
from tamis.audit._estimates import Estimate
from tamis.audit._group_metrics import RecallChange, normalised_recall_change
from tamis.audit._inputs import Inputs
from tamis.audit._intervals import Interval
from tamis.audit._measure import uncertain_samples
from tamis.audit._reasons import Value
from tamis.audit._settings import Settings

# metric of the change -> (metric of both sides, its sign): a drop counts downwards
CHANGES = {
    "accuracy_drop": ("accuracy", -1),
    "uncertainty_rise": ("uncertainty", 1),
    "tcb_relative": ("tcb_log", 1),
    "auc_drop": ("auc", -1),
    "ece_rise": ("ece", 1),
    "recall_change": ("recall_gap", 1),
}
WITH_ROWS = ("accuracy_drop", "uncertainty_rise", "tcb_relative", "cie_share", "recall_change")


def row_influence(comparison: Comparison, k: int) -> dict[str, Influence]:
    """How much each row moves the change of one attribute."""
    inputs = comparison.inputs
    n, y, rare = len(inputs.ids), inputs.y[k], inputs.rare(k)
    known = y < 2
    accuracy, doubt, log_ratio, found = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    ratio_step = 0.0
    for run, share in comparison.weighted_runs:
        predicted = run.predictions[:, k]
        accuracy -= share * (predicted == y)
        found += share * predicted
        prob = run.prob(k) if run.about.task == "multiclass" else np.zeros(0)
        doubt += share * uncertain_samples(run, k, prob, comparison.settings.uncertainty)
        said = known & (predicted == rare)
        log_ratio += share / (int(said.sum()) + 0.5) * said
        ratio_step += abs(share) / 2 / (int(said.sum()) + 0.5)  # half: shares of both sides add up to 2
    everywhere, positive = np.ones(n, bool), y == 1
    count = max(int(known.sum()), 1)
    right = max(int(positive.sum()), 1)
    recall = _centred(found, positive) / right
    beside = comparison.top1_influence
    exemplars = comparison.exemplars[:, k].astype(np.float64)
    parts = {
        "accuracy_drop": (_centred(accuracy, known) / count, known, 1 / count),
        "uncertainty_rise": (_centred(doubt, everywhere) / n, everywhere, 1 / n),
        "tcb_relative": (_centred(log_ratio, known), known, ratio_step),
        "cie_share": (_centred(exemplars, everywhere) / n, everywhere, 1 / n),
        "recall_change": (
            recall + (_centred(accuracy, known) / count if beside is None else beside), positive, 1 / right,
        ),
    }  # fmt: skip
    cluster = inputs.cluster
    return {
        name: Influence(rows, comparison.spare(step), None if cluster is None else distinct(cluster[inside]))
        for name, (rows, inside, step) in parts.items()
    }


def attribute_changes(comparison: Comparison, k: int, influence: Mapping[str, Influence]) -> dict[str, Estimate]:
    """The changes of one attribute; ``influence`` is that of :func:`row_influence`."""
    found = {"cie_share": Estimate(Value(float(comparison.exemplars[:, k].mean())))}
    for name, (metric, sign) in CHANGES.items():
        sides = [
            [Value(sign * row[k].value, row[k].reason) for row in side.metrics[metric]]
            for side in (comparison.dense, comparison.compressed)
        ]
        found[name] = comparison.change(sides[0], sides[1])
    for name in WITH_ROWS:
        found[name] = with_delta(found[name], influence[name], comparison.inputs, comparison.settings)
    found["tcb_relative"] = exponential(found["tcb_relative"])
    found["cie_share"] = as_share(found["cie_share"])
    return found


def recall_test(comparison: Comparison, k: int) -> RecallChange:
    """Welch's t of the recall less the accuracy, dense against compressed runs (Hooker et al. 2019)."""
    sides = [[row[k] for row in side.metrics["recall_gap"]] for side in (comparison.dense, comparison.compressed)]
    undefined_one = next((value for side in sides for value in side if not value.defined), None)
    if undefined_one:
        return RecallChange(undefined_one, undefined_one, undefined_one)
    dense, compressed = ([value.value for value in side] for side in sides)
    return normalised_recall_change(dense, [0.0] * len(dense), compressed, [0.0] * len(compressed))


def flips(comparison: Comparison, k: int) -> Estimate:
    """Share of predictions of one attribute that changed, seed by seed."""
    dense = comparison.dense.condition.runs
    values = [
        Value(float((run.predictions[:, k] != dense[comparison.partner(i)].predictions[:, k]).mean()))
        for i, run in enumerate(comparison.condition.runs)
    ]
    seeds = tuple(zip(comparison.condition.seeds, values, strict=True))
    return Estimate(Value(float(np.mean([value.value for value in values]))), seeds)


def with_delta(found: Estimate, influence: Influence, inputs: Inputs, settings: Settings) -> Estimate:
    """The estimate with intervals over rows and, where there are clusters, over clusters before its own."""
    if not found.mean.defined:
        return found
    rows, cluster = influence.rows, inputs.cluster
    sums = None if cluster is None else np.bincount(cluster, weights=rows)
    intervals = delta_intervals(
        found.mean.value, float(rows @ rows), influence.spare, sums, influence.clusters, settings.ci
    )
    return replace(found, intervals=(*intervals, *found.intervals))


def exponential(found: Estimate) -> Estimate:
    """An estimate of a logarithm as one of the ratio: values and ends of intervals through exp."""

    def raised(value: Value) -> Value:
        return Value(math.exp(value.value), value.reason) if value.defined else value

    def ends(interval: Interval) -> Interval:
        return replace(interval, lo=math.exp(interval.lo), hi=math.exp(interval.hi))

    return Estimate(
        raised(found.mean),
        tuple((seed, raised(value)) for seed, value in found.seeds),
        tuple(ends(interval) for interval in found.intervals),
    )


def as_share(found: Estimate) -> Estimate:
    """An estimate of a share, whose intervals begin at 0 at the lowest."""
    return replace(found, intervals=tuple(replace(one, lo=max(one.lo, 0.0)) for one in found.intervals))


def _centred(rows: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Rows less their mean, 0 outside."""
    if not inside.any():
        return np.zeros(len(rows))
    return np.where(inside, rows - rows[inside].mean(), 0.0)

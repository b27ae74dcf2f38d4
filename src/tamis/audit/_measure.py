"""The one pass over all samples of every model: tables, metrics of attributes, histograms, mean probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from tamis.audit._attribute_metrics import (
    VERY_UNCERTAIN,
    auc,
    binned_ece,
    smoothed_log_ratio,
    uncertain,
    uncertain_logits,
)
from tamis.audit._inputs import Inputs
from tamis.audit._interdependence import interdependence
from tamis.audit._models import Condition, Run
from tamis.audit._reasons import Value, difference, ratio, undefined
from tamis.audit._settings import Settings

BINS = 100
METRICS = (
    "accuracy",
    "auc",
    "ece",
    "fnr",
    "fpr",
    "interdependence",
    "predicted_positive",
    "recall_gap",
    "tcb",
    "tcb_log",
    "uncertainty",
    "very_uncertain",
)

Item = TypeVar("Item")
Found = TypeVar("Found")


@dataclass(frozen=True)
class Measured:
    """What one condition's models do on the test samples.

    Attributes:
        condition: the models.
        tables: ``n[run, attribute, identity, g, y, prediction]``, int64.
        metrics: name -> one row a run, one value an attribute.
        losses: sums of the logistic loss over the rows of a table, ``[run, attribute, identity, g]``, float64, in nats.
        histograms: ``n[attribute, identity, g, y, bin]`` of probabilities in hundredths, summed over runs, int64.
        mean_prob: mean probability over runs, float32, shape (K, N).
        joint: ``n[run, attribute, identity, y, g, prediction, predicted g]``, int64, for the identities that the models
            predict too, in their order; see :attr:`tamis.audit._inputs.Inputs.predicted`.
    """

    condition: Condition
    tables: np.ndarray
    metrics: dict[str, list[list[Value]]]
    losses: np.ndarray
    histograms: np.ndarray
    mean_prob: np.ndarray
    joint: np.ndarray


def measure(condition: Condition, inputs: Inputs, settings: Settings, threads: int = 1) -> Measured:
    """Measure all runs of a condition; ``threads`` share the attributes and change nothing in the result."""
    runs, shape = len(condition.runs), (len(inputs.attributes), len(inputs.identities))
    tables = np.zeros((runs, *shape, 2, 2, 2), np.int64)
    losses = np.zeros((runs, *shape, 2))
    histograms = np.zeros((*shape, 2, 2, BINS), np.int64)
    mean_prob = np.zeros((shape[0], len(inputs.ids)), np.float32)
    for run in condition.runs:
        _ = run.predictions  # once, before threads ask for it
    joint = np.zeros((runs, shape[0], len(inputs.predicted), 2, 2, 2, 2), np.int64)
    chosen = [overall_accuracy(run, inputs) for run in condition.runs]
    work = partial(
        _measure_attribute, condition.runs, inputs, settings, chosen, (tables, losses, histograms, mean_prob, joint)
    )
    columns = parallel(work, range(shape[0]), threads)
    metrics: dict[str, list[list[Value]]] = {
        name: [[columns[k][run][name] for k in range(shape[0])] for run in range(runs)]
        for name in METRICS
        if name != "interdependence"
    }
    metrics["interdependence"] = [interdependence(run.predictions) for run in condition.runs]
    return Measured(condition, tables, metrics, losses, histograms, mean_prob, joint)


def parallel(work: Callable[[Item], Found], items: Iterable[Item], threads: int) -> list[Found]:
    """``[work(item) for item in items]``, on several threads where that helps."""
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def _measure_attribute(
    runs: Sequence[Run],
    inputs: Inputs,
    settings: Settings,
    chosen: Sequence[Value | None],
    filled: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    column: int,
) -> list[dict[str, Value]]:
    """Fill this attribute's part of the arrays, and return the metrics of each run."""
    tables, losses, histograms, mean_prob, joint = filled
    y = inputs.y[column]
    corners = [table_corner(group, y) for group in inputs.groups]
    found = []
    for place, run in enumerate(runs):
        predicted, prob = run.predictions[:, column], run.prob(column)
        mean_prob[column] += prob / len(runs)
        loss = log_loss(run, column, y, prob)
        bins = np.minimum((prob * BINS).astype(np.int16), BINS - 1)
        for identity, corner in enumerate(corners):
            cells = np.bincount(2 * corner + predicted, minlength=10)[:8]
            tables[place, column, identity] = cells.reshape(2, 2, 2)
            sums = np.bincount(corner, weights=loss, minlength=5)
            losses[place, column, identity] = sums[0] + sums[1], sums[2] + sums[3]
            counts = np.bincount(5 * bins + corner, minlength=5 * BINS).reshape(BINS, 5)
            histograms[column, identity] += counts[:, :4].T.reshape(2, 2, BINS)
        for number, (identity, target) in enumerate(inputs.predicted):
            both = 2 * predicted.astype(np.int16) + run.predictions[:, target]
            cells = np.bincount(4 * table_corner(y, inputs.groups[identity]) + both, minlength=20)[:16]
            joint[place, column, number] = cells.reshape(2, 2, 2, 2)
        found.append(_metrics(run, column, y, predicted, prob, inputs, settings, chosen[place]))
    return found


def log_loss(run: Run, column: int, y: np.ndarray, prob: np.ndarray) -> np.ndarray:
    """Minus the logarithm of the probability of the true label, in nats, shape (N,); of no meaning where y is unknown.

    From the logits of several labels without overflow; of one class against the rest from its softmax, whose
    probability of 0 counts as the smallest positive number.
    """
    if run.about.task == "multiclass":
        return -np.log(np.maximum(np.where(y == 1, prob, 1 - prob), np.finfo(np.float64).tiny))
    logits = run.logits[:, column].astype(np.float64)
    return np.logaddexp(0.0, np.where(y == 1, -logits, logits))


def overall_accuracy(run: Run, inputs: Inputs) -> Value | None:
    """Accuracy of the chosen class of a softmax, beside which the recall of a class is seen; None for other tasks."""
    if run.about.task != "multiclass":
        return None
    known = (inputs.y < 2).all(axis=0)
    return Value(float(correct(run, inputs)[known].mean())) if known.any() else undefined("no_labels")


def correct(run: Run, inputs: Inputs) -> np.ndarray:
    """Whether the chosen class of a softmax is the true one, bool, shape (N,)."""
    return (run.predictions & (inputs.y.T == 1)).any(axis=1)


def table_corner(group: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``2 * group + y`` where both are known, else 4; int16, shape (N,)."""
    return np.where((group < 2) & (y < 2), 2 * group + y, 4).astype(np.int16)


def _metrics(
    run: Run,
    column: int,
    y: np.ndarray,
    predicted: np.ndarray,
    prob: np.ndarray,
    inputs: Inputs,
    settings: Settings,
    chosen: Value | None,
) -> dict[str, Value]:
    wide, narrow = (
        uncertain_samples(run, column, prob, settings.uncertainty),
        uncertain_samples(run, column, prob, VERY_UNCERTAIN),
    )
    found = {
        "uncertainty": Value(float(wide.mean())),
        "very_uncertain": Value(float(narrow.mean())),
        "predicted_positive": Value(float(predicted.mean())),
    }
    scores = run.scores(column)
    known = y < 2
    if not known.all():
        y, predicted, prob, scores = y[known], predicted[known], prob[known], scores[known]
    if not len(y):
        return found | {name: undefined("no_labels") for name in METRICS if name not in (*found, "interdependence")}
    rare = inputs.rare(column)
    said, true = int((predicted == rare).sum()), int((y == rare).sum())
    positives, hits, alarms = int(y.sum()), int((predicted & (y == 1)).sum()), int((predicted & (y == 0)).sum())
    accuracy = Value(float((predicted == y).mean()))
    return found | {
        "accuracy": accuracy,
        "fnr": ratio(positives - hits, positives, "zero_base_rate"),
        "fpr": ratio(alarms, len(y) - positives, "zero_base_rate"),
        "recall_gap": difference(ratio(hits, positives, "zero_base_rate"), chosen or accuracy),
        "auc": auc(y, scores),
        "ece": binned_ece(prob, y),
        "tcb": Value(said / true) if true else undefined("no_rare_value"),
        "tcb_log": smoothed_log_ratio(said, true),
    }


def uncertain_samples(run: Run, column: int, prob: np.ndarray, half_width: float) -> np.ndarray:
    """Which samples a model is uncertain about, bool, shape (N,); always about p = 1/2, wherever the threshold is."""
    if run.about.task == "multiclass":
        return uncertain(prob, half_width)
    return uncertain_logits(run.logits[:, column], half_width)

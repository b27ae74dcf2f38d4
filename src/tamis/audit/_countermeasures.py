"""What repairs a compressed model: curves of override and cascade, and calibrated thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._estimates import Estimate, estimate
from tamis.audit._inputs import Inputs
from tamis.audit._measure import parallel, table_corner
from tamis.audit._models import Condition, Run
from tamis.audit._override import HALF_WIDTHS
from tamis.audit._pair_changes import Biases
from tamis.audit._reasons import Value, mean_of, undefined

Answer = Literal["dense", "human"]
Gate = Literal["dense", "compressed"]
STEPS = len(HALF_WIDTHS)
LIMITS = [math.inf if h >= 0.5 else math.log((0.5 + h) / (0.5 - h)) for h in HALF_WIDTHS]
CURVES: tuple[tuple[Gate, Answer], ...] = (("dense", "dense"), ("dense", "human"), ("compressed", "dense"))


@dataclass(frozen=True)
class Point:
    """One half-width: share of predictions that were asked about, and what comes out on average."""

    half_width: float
    fraction: Estimate
    accuracy: Estimate
    ba: Estimate
    tcb: Estimate


@dataclass(frozen=True)
class Curve:
    """All half-widths: who is asked (``reference``), and whose uncertainty decides (``gate``)."""

    condition: Condition
    gate: Gate
    reference: Answer
    points: tuple[Point, ...]


@dataclass(frozen=True)
class _Counts:
    """Whole numbers behind the curves of one gate.

    Attributes:
        tables: ``n[answer, run, attribute, identity, step, group, y, prediction]``.
        rows: the same over all samples with a label, without identities and groups.
        asked: share of samples asked about, ``[run, attribute, step]``.
    """

    tables: np.ndarray
    rows: np.ndarray
    asked: np.ndarray


def curves_of(
    comparison: Comparison, biases: Biases, common: Sequence[tuple[int, int]], threads: int = 1
) -> list[Curve]:
    """Override by the dense models and by people, and the cascade, each over all of ``HALF_WIDTHS``.

    With half-width 0 nothing is asked and the compressed model is left; above 1/2 everything is.
    """
    toward = np.array(
        [[biases[k, g].toward or 0 for g in range(len(comparison.inputs.identities))]
         for k in range(len(comparison.inputs.attributes))]
    )  # fmt: skip
    counts = {gate: _count(comparison, gate, threads) for gate in ("dense", "compressed")}
    return [
        Curve(comparison.condition, gate, answer, _points(comparison, counts[gate], answer, toward, common))
        for gate, answer in CURVES
    ]


def _count(comparison: Comparison, gate: Gate, threads: int) -> _Counts:
    inputs, runs = comparison.inputs, comparison.condition.runs
    shape = (2, len(runs), len(inputs.attributes))
    tables = np.zeros((*shape, len(inputs.identities), STEPS, 2, 2, 2), np.int64)
    rows = np.zeros((*shape, STEPS, 2, 2), np.int64)
    asked = np.zeros((len(runs), len(inputs.attributes), STEPS))
    parallel(partial(_count_attribute, comparison, gate, tables, rows, asked), range(shape[2]), threads)
    return _Counts(tables, rows, asked)


def _count_attribute(
    comparison: Comparison, gate: Gate, tables: np.ndarray, rows: np.ndarray, asked: np.ndarray, k: int
) -> None:
    inputs = comparison.inputs
    corners = [table_corner(group, inputs.y[k]) for group in inputs.groups]
    alone = table_corner(np.zeros(len(inputs.ids), np.uint8), inputs.y[k])
    for place, run in enumerate(comparison.condition.runs):
        dense = comparison.dense.condition.runs[comparison.partner(place)]
        step = first_step(dense if gate == "dense" else run, k)
        asked[place, k] = np.cumsum(np.bincount(step, minlength=STEPS)) / len(step)
        cell = step + STEPS * (2 * run.predictions[:, k] + dense.predictions[:, k]).astype(np.int16)
        for identity, corner in enumerate(corners):
            tables[:, place, k, identity] = _answered(corner, cell)
        rows[:, place, k] = _answered(alone, cell)[:, :, 0]


def first_step(run: Run, column: int) -> np.ndarray:
    """The number of the first half-width at which each sample is asked about; int16, shape (N,)."""
    if run.about.task == "multiclass":
        distance, limits = np.abs(run.prob(column) - 0.5), list(HALF_WIDTHS)
    else:
        distance, limits = np.abs(run.logits[:, column]), LIMITS
    found = np.zeros(len(distance), np.int16)
    for limit in limits:
        found += distance >= limit
    return found


def _answered(corner: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """``n[answer, step, group, y, prediction]`` after asking; answers are the dense model's and the true label."""
    counts = np.bincount(4 * STEPS * corner + cell, minlength=20 * STEPS)[: 16 * STEPS]
    n = counts.reshape(2, 2, 2, 2, STEPS).transpose(4, 0, 1, 2, 3)  # step, group, y, compressed, dense
    until = np.cumsum(n, axis=0)
    left = until[-1] - until
    kept = left.sum(axis=4)
    by_dense = kept + until.sum(axis=3)
    people = until.sum(axis=(3, 4))
    by_people = kept.copy()
    for y in (0, 1):
        by_people[:, :, y, y] += people[:, :, y]
    return np.stack([by_dense, by_people])


def _points(
    comparison: Comparison, counts: _Counts, answer: Answer, toward: np.ndarray, common: Sequence[tuple[int, int]]
) -> tuple[Point, ...]:
    seeds = comparison.condition.seeds
    which = 0 if answer == "dense" else 1
    tables, rows = counts.tables[which], counts.rows[which]
    bias = _mean_bias(tables, toward, common)
    points = []
    for step, half_width in enumerate(HALF_WIDTHS):
        accuracy, ratio = [], []
        for run in range(len(seeds)):
            accuracy.append(_mean_accuracy(rows[run, :, step], comparison.kept["accuracy"]))
            ratio.append(_mean_ratio(rows[run, :, step], comparison.inputs, comparison.kept["tcb"]))
        points.append(
            Point(
                half_width,
                estimate(seeds, [Value(float(counts.asked[run, :, step].mean())) for run in range(len(seeds))]),
                estimate(seeds, accuracy),
                estimate(seeds, [_or_never(float(bias[run, step])) for run in range(len(seeds))]),
                estimate(seeds, ratio),
            )
        )
    return tuple(points)


def _mean_bias(tables: np.ndarray, toward: np.ndarray, common: Sequence[tuple[int, int]]) -> np.ndarray:
    """Mean bias amplification over the common pairs, shape (runs, steps); NaN if a pair is never predicted."""
    if not common:
        return np.full((tables.shape[0], STEPS), np.nan)
    ks, gs = np.array(common).T
    chosen = tables[:, ks, gs]  # run, pair, step, group, y, prediction
    favoured = toward[ks, gs]
    pairs = np.arange(len(common))
    predicted, true = chosen[..., 1].sum(axis=-1), chosen[..., 1, :].sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = predicted[:, pairs, :, favoured] / predicted.sum(axis=-1).transpose(1, 0, 2)
        base = true[:, pairs, :, favoured] / true.sum(axis=-1).transpose(1, 0, 2)
    return (share - base).mean(axis=0)


def _or_never(value: float) -> Value:
    return undefined("never_predicted") if math.isnan(value) else Value(float(value))


def _mean_accuracy(rows: np.ndarray, kept: Sequence[int]) -> Value:
    return mean_of([Value(float(np.trace(rows[k]) / rows[k].sum())) for k in kept])


def _mean_ratio(rows: np.ndarray, inputs: Inputs, kept: Sequence[int]) -> Value:
    """Mean threshold calibration bias: how often the rarer value is predicted, over how often it is true."""
    found = []
    for k in kept:
        rare = inputs.rare(k)
        found.append(Value(float(rows[k][:, rare].sum() / rows[k][rare].sum())))
    return mean_of(found)


def with_thresholds(condition: Condition, thresholds: Mapping[int, np.ndarray]) -> Condition:
    """The same models with other thresholds, by the number of the run."""
    runs = tuple(Run(run.about, run.logits, thresholds[place]) for place, run in enumerate(condition.runs))
    return replace(condition, runs=runs)

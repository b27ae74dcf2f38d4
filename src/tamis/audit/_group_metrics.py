"""What compression changed within groups: rates, accuracy gaps, losses, recalls, classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from tamis.audit._reasons import Value, ratio, undefined
from tamis.audit._student import two_sided
from tamis.errors import UsageError

RATES = ("accuracy", "fpr", "fnr", "selection_rate")


@dataclass(frozen=True)
class GroupReport:
    """Rates within both groups, and their absolute differences.

    Attributes:
        n: samples of group 0 and 1.
        rates: ``accuracy``, ``fpr``, ``fnr``, ``selection_rate`` -> values of group 0 and 1.
        differences: the same names -> absolute difference.
    """

    n: tuple[int, int]
    rates: Mapping[str, tuple[Value, Value]]
    differences: Mapping[str, Value]


def group_report(table: np.ndarray) -> GroupReport:
    """Rates by group from ``n[g, y, prediction]``, shape (2, 2, 2); reasons empty_group, zero_base_rate."""
    by_group = [_rates(table[group]) for group in (0, 1)]
    rates = {name: (by_group[0][name], by_group[1][name]) for name in RATES}
    return GroupReport(
        (int(table[0].sum()), int(table[1].sum())), rates, {name: _gap(*pair) for name, pair in rates.items()}
    )


def _rates(cells: np.ndarray) -> dict[str, Value]:
    n = int(cells.sum())
    if n == 0:
        return {name: undefined("empty_group") for name in RATES}
    (tn, fp), (fn, tp) = cells.tolist()
    return {
        "accuracy": Value((tn + tp) / n),
        "fpr": ratio(fp, tn + fp, "zero_base_rate"),
        "fnr": ratio(fn, fn + tp, "zero_base_rate"),
        "selection_rate": Value((fp + tp) / n),
    }


def _gap(a: Value, b: Value) -> Value:
    for value in (a, b):
        if not value.defined:
            return value
    return Value(abs(a.value - b.value))


def disparate_accuracy_gap(
    correct_dense: np.ndarray, correct_compressed: np.ndarray, group: np.ndarray
) -> dict[int, Value]:
    """psi of each group: the accuracy it lost, less the accuracy that all lost (Balancing Act, ICLR 2024).

    Args:
        correct_dense: whether the dense model is right, shape (N,), 0 and 1; several seeds may be averaged before.
        correct_compressed: the same of the compressed model.
        group: whole numbers, shape (N,).
    """
    lost = np.asarray(correct_dense, np.float64) - np.asarray(correct_compressed, np.float64)
    overall = float(lost.mean()) if len(lost) else math.nan
    return {int(g): Value(float(lost[group == g].mean()) - overall) for g in np.unique(group)}


def excess_loss_disparity(
    loss_dense: np.ndarray, loss_compressed: np.ndarray, group: np.ndarray
) -> tuple[dict[int, float], Value]:
    """Mean change of the loss of each group, and the largest difference of two (Tran et al. 2022, excess loss).

    Arguments have shape (N,); groups are whole numbers.  The difference is undefined (empty_group) without samples.
    """
    change = np.asarray(loss_compressed, np.float64) - np.asarray(loss_dense, np.float64)
    found = {int(g): float(change[group == g].mean()) for g in np.unique(group)}
    return found, Value(max(found.values()) - min(found.values())) if found else undefined("empty_group")


@dataclass(frozen=True)
class RecallChange:
    """Change of a class's recall beside that of the accuracy, Welch's t of dense against compressed, and its p."""

    delta: Value
    t: Value
    p: Value


def normalised_recall_change(
    recall_dense: Sequence[float],
    accuracy_dense: Sequence[float],
    recall_compressed: Sequence[float],
    accuracy_compressed: Sequence[float],
) -> RecallChange:
    """``(recall - accuracy)`` of the compressed models less that of the dense ones (Hooker et al. 2019).

    One value a training seed; fewer than two on a side leave t undefined (too_few_seeds).
    """
    dense = np.asarray(recall_dense, np.float64) - np.asarray(accuracy_dense, np.float64)
    compressed = np.asarray(recall_compressed, np.float64) - np.asarray(accuracy_compressed, np.float64)
    delta = Value(float(compressed.mean() - dense.mean()))
    if min(len(dense), len(compressed)) < 2:
        return RecallChange(delta, undefined("too_few_seeds"), undefined("too_few_seeds"))
    parts = [float(side.var(ddof=1)) / len(side) for side in (dense, compressed)]
    if sum(parts) == 0:
        return RecallChange(delta, undefined("constant"), undefined("constant"))
    t = -delta.value / math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, (dense, compressed), strict=True)
    )
    return RecallChange(delta, Value(t), Value(two_sided(t, freedom)))


def cev_sde(
    fpr_dense: Sequence[float],
    fnr_dense: Sequence[float],
    fpr_compressed: Sequence[float],
    fnr_compressed: Sequence[float],
) -> tuple[Value, Value]:
    """Combined error variance and symmetric distance error of Blakeney et al. (2021), "Simon says", in squared % and %.

    Each class is a point (% change of its false positive rate, of its false negative rate).  CEV is the mean over
    classes and both axes of the squared deviation from the centroid; SDE the mean distance from the line of equal
    change.  A dense rate of 0 leaves both undefined (zero_base_rate).
    """
    dense = np.array([fpr_dense, fnr_dense], np.float64)
    if not dense.all():
        return undefined("zero_base_rate"), undefined("zero_base_rate")
    points = 100 * (np.array([fpr_compressed, fnr_compressed], np.float64) - dense) / dense
    spread = ((points - points.mean(axis=1, keepdims=True)) ** 2).mean()
    return Value(float(spread)), Value(float(np.abs(points[0] - points[1]).mean() / math.sqrt(2)))


def intersection(groups: Mapping[str, np.ndarray], min_cell: int = 30) -> tuple[dict[str, int], list[str]]:
    """Sizes of all cells of the product of at most three identities, and those below ``min_cell`` (small_cell).

    Args:
        groups: memberships by identity, each of shape (N,), 0, 1 and 255 for unknown.
        min_cell: fewest samples of a cell that is compared with the others.
    """
    sizes = {name: int(member.sum()) for name, member in intersection_cells(groups).items()}
    return sizes, [name for name, size in sizes.items() if size < min_cell]


def intersection_cells(groups: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Membership of each cell, bool, shape (N,); a row with an unknown identity belongs to none."""
    if not 1 <= len(groups) <= 3:
        raise UsageError(f"an intersection of {len(groups)} identities; expected at most three")
    found = {}
    for values in product((0, 1), repeat=len(groups)):
        name = ",".join(f"{identity}={value}" for identity, value in zip(groups, values, strict=True))
        columns = zip(groups.values(), values, strict=True)
        found[name] = np.logical_and.reduce([np.asarray(column) == value for column, value in columns])
    return found

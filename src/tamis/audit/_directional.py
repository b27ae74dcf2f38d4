"""Directional bias amplification of single pairs, from whole-number tables (Wang & Russakovsky 2021, section 4).

Identity to attribute: do predictions of the attribute follow the identity more than its true labels do?  Attribute to
identity: the same of the predicted identity, where the models predict it.  As :func:`biasamp_directional` with the
columns A and not A.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tamis.audit._bias_amplification import TrainCounts
from tamis.audit._comparison import Comparison
from tamis.audit._delta import Influence, delta_intervals
from tamis.audit._estimates import Estimate
from tamis.audit._inputs import Inputs
from tamis.audit._measure import Measured
from tamis.audit._paired_change import RowCells
from tamis.audit._reasons import Value, mean_of, undefined


@dataclass(frozen=True)
class Shift:
    """One direction of one pair: dense and compressed models, and the change with its intervals."""

    dense: Estimate
    compressed: Estimate
    change: Estimate


def train_sign(train: TrainCounts) -> int:
    """1 if attribute and identity go together in the training data, -1 if they avoid each other, 0 if neither.

    The sign of ``n #(A, T) - #A #T`` in whole numbers.
    """
    n, positives = train.n1 + train.n0, train.positives1 + train.positives0
    gap = n * train.positives1 - train.n1 * positives
    return (gap > 0) - (gap < 0)


def a_to_t(table: np.ndarray, train: TrainCounts) -> Value:
    """Identity to attribute of one model: the mean over both groups of ``s (P(T^ | A) - P(T | A))``.

    Args:
        table: ``n[g, y, prediction]``, shape (2, 2, 2); reason empty_group.
        train: counts of the training data, which give s; reason empty_train_group.
    """
    if train.n1 == 0 or train.n0 == 0:
        return undefined("empty_train_group")
    sizes = table.sum(axis=(1, 2))
    if not sizes.all():
        return undefined("empty_group")
    moved = (table[:, 0, 1] - table[:, 1, 0]) / sizes  # predicted less true positives
    return Value(train_sign(train) * float(moved[1] - moved[0]) / 2)


def t_to_a(joint: np.ndarray, train: TrainCounts) -> Value:
    """Attribute to identity of one model: ``s (P(A^ | T) - P(A | T))`` among samples that have the attribute.

    Args:
        joint: ``n[y, g, prediction, predicted g]``, shape (2, 2, 2, 2); reason empty_group.
        train: counts of the training data; reason empty_train_group.
    """
    if train.n1 == 0 or train.n0 == 0:
        return undefined("empty_train_group")
    inside = joint[1].sum(axis=1)  # g, predicted g
    if not inside.sum():
        return undefined("empty_group")
    return Value(train_sign(train) * float(inside[0, 1] - inside[1, 0]) / float(inside.sum()))


def why_not(inputs: Inputs, k: int, g: int) -> str:
    """Why a pair is not compared at all, or nothing."""
    if inputs.same(k, g):
        return "same_attribute"
    return "small_cell" if inputs.identities[g] in inputs.small else ""


def a_to_t_values(measured: Measured, inputs: Inputs, k: int, g: int) -> list[Value]:
    """One value a run; reasons same_attribute and small_cell beside those of :func:`a_to_t`."""
    reason = why_not(inputs, k, g)
    if reason:
        return [undefined(reason)] * len(measured.tables)
    return [a_to_t(table, inputs.train[k][g]) for table in measured.tables[:, k, g]]


def t_to_a_values(measured: Measured, inputs: Inputs, k: int, g: int) -> list[Value]:
    """One value a run; reason no_predicted_group where the identity is not among the attributes."""
    reason = why_not(inputs, k, g)
    numbers = [identity for identity, _ in inputs.predicted]
    if reason or g not in numbers:
        return [undefined(reason or "no_predicted_group")] * len(measured.tables)
    return [t_to_a(joint, inputs.train[k][g]) for joint in measured.joint[:, k, numbers.index(g)]]


def shift_of(comparison: Comparison, dense: Sequence[Value], compressed: Sequence[Value]) -> Shift:
    """Both sides and their change, which has an interval over seeds."""
    mean = mean_of(compressed)
    seeds = tuple(zip(comparison.condition.seeds, compressed, strict=True)) if mean.defined else ()
    if not mean.defined:
        return Shift(Estimate(mean_of(dense)), Estimate(mean), Estimate(mean))
    return Shift(comparison.dense_estimate(dense), Estimate(mean, seeds), comparison.change(dense, compressed))


def with_rows(found: Shift, comparison: Comparison, influence: Influence, pair: RowCells) -> Shift:
    """The shift with delta intervals of its change over rows and clusters; ``influence`` is of each cell."""
    change, inputs, cells = found.change, comparison.inputs, pair.cells
    if not change.mean.defined:
        return found
    sums = None
    if inputs.cluster is not None:
        sums = np.bincount(inputs.cluster[pair.rows], weights=influence.rows[pair.place])
    variance = float(cells.counts @ influence.rows**2)
    intervals = delta_intervals(
        change.mean.value, variance, influence.spare, sums, pair.clusters, comparison.settings.ci
    )
    return replace(found, change=replace(change, intervals=(*intervals, *change.intervals)))


def directed_influence(comparison: Comparison, pair: RowCells, sign: int) -> Influence:
    """What one more row of each cell adds to the change of :func:`a_to_t`, to first order; shape (cells,)."""
    cells = pair.cells
    moved = cells.compressed @ cells.compressed_shares - cells.dense @ cells.dense_shares
    found, steps = np.zeros(len(cells.counts)), []
    for group, part in ((1, sign / 2), (0, -sign / 2)):
        inside = cells.group == group
        count = int(cells.counts[inside].sum())
        if count:
            mean = float(cells.counts[inside] @ moved[inside]) / count
            found[inside] = part * (moved[inside] - mean) / count
            steps.append(part / count)
    return Influence(found, comparison.spare(*steps), pair.clusters)

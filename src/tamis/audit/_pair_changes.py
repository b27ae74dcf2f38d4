"""Change of one attribute and identity: bias amplification and psi, with intervals over rows and clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tamis.audit._bias_amplification import ba_bounds, directed_ba, favoured_group
from tamis.audit._bootstrap import draw_sums
from tamis.audit._comparison import Comparison
from tamis.audit._directional import (
    Shift,
    a_to_t_values,
    influence_of,
    shift_of,
    t_to_a_values,
    train_sign,
    with_rows,
)
from tamis.audit._error_shifts import group_shifts
from tamis.audit._estimates import Estimate
from tamis.audit._inputs import Inputs
from tamis.audit._intervals import Interval, Kind, bootstrap_p, delta_interval, percentile_interval
from tamis.audit._measure import Measured
from tamis.audit._paired_change import Cells, change_draws, change_influence, change_weights
from tamis.audit._patterns import Patterns, patterns_of
from tamis.audit._reasons import Value, mean_of, undefined
from tamis.audit._settings import Settings


@dataclass(frozen=True)
class PairBias:
    """Bias amplification of one (attribute, identity) in one condition.

    Attributes:
        toward: the favoured group, or None.
        headroom: the largest possible value; NaN where undefined.
        values: one a run.
    """

    toward: int | None
    headroom: float
    values: tuple[Value, ...]

    @property
    def mean(self) -> Value:
        """Mean over runs, undefined if one of them is."""
        return mean_of(self.values)


Biases = Mapping[tuple[int, int], PairBias]


@dataclass(frozen=True)
class PairChange:
    """Change of one (attribute, identity), given by their numbers.

    Attributes:
        dense: bias amplification of the dense models that this condition is compared with.
        compressed: bias amplification of its models.
        change: the difference, with intervals.
        p: of no change, by the cluster bootstrap where there are clusters; None where undefined.
        psi: accuracy that group 0 and group 1 lost, less what all lost.
        a_to_t: directional bias amplification, identity to attribute.
        t_to_a: the same, attribute to identity.
        shifts: CEV and SDE over the two groups.
    """

    attribute: int
    identity: int
    dense: Estimate
    compressed: Estimate
    change: Estimate
    p: float | None
    psi: tuple[Estimate, Estimate]
    a_to_t: Shift
    t_to_a: Shift
    shifts: tuple[Estimate, Estimate]


@dataclass(frozen=True)
class PairWeights:
    """How much a row of each cell moves the changes of one pair, to first order; None where they are undefined."""

    ba: np.ndarray | None
    a_to_t: np.ndarray | None


@dataclass(frozen=True)
class RowCells:
    """The cells of one pair, and which row has which: ``cells`` of rows ``rows`` by number ``place``."""

    cells: Cells
    rows: np.ndarray
    place: np.ndarray


def pair_biases(measured: Measured, inputs: Inputs, settings: Settings) -> dict[tuple[int, int], PairBias]:
    """Bias amplification of every (attribute, identity), by their numbers."""
    found = {}
    for k in range(len(inputs.attributes)):
        for g, identity in enumerate(inputs.identities):
            tables = measured.tables[:, k, g]
            toward, reason = favoured_group(inputs.train[k][g], tables[0], settings.min_positives, settings.min_gap)
            if inputs.same(k, g):
                toward, reason = None, "same_attribute"
            elif identity in inputs.small:
                toward, reason = None, "small_cell"
            if toward is None:
                found[k, g] = PairBias(None, math.nan, (undefined(reason),) * len(tables))
            else:
                values = tuple(directed_ba(table, toward) for table in tables)
                found[k, g] = PairBias(toward, ba_bounds(tables[0], toward)[1], values)
    return found


def attribute_patterns(comparison: Comparison, k: int, known: np.ndarray) -> Patterns | None:
    """Patterns of the label and all predictions of one attribute, of the rows ``known``; None without rows."""
    if not len(known):
        return None
    predictions = [run.predictions[known, k] for run, _ in comparison.weighted_runs]
    return patterns_of([comparison.inputs.y[k][known], *predictions])


def row_cells(comparison: Comparison, g: int, known: np.ndarray, patterns: Patterns | None) -> RowCells:
    """The cells of one identity among rows whose label is known."""
    group = comparison.inputs.groups[g]
    inside = group[known] < 2
    rows = known[inside]
    signs = np.array([share for _, share in comparison.weighted_runs])
    old, new = signs < 0, signs > 0
    if patterns is None or not len(rows):
        none = np.zeros(0, np.int64)
        empty = Cells(none, none, none, np.zeros((0, old.sum())), np.zeros((0, new.sum())), -signs[old], signs[new])
        return RowCells(empty, rows, none)
    code = 2 * (patterns.code if len(rows) == len(known) else patterns.code[inside]) + group[rows]
    counts = np.bincount(code, minlength=2 * len(patterns.values))
    kept = np.flatnonzero(counts)
    number = np.zeros(len(counts), np.intp)
    number[kept] = np.arange(len(kept))
    labels, predictions = patterns.values[kept >> 1, 0], patterns.values[kept >> 1, 1:]
    cells = Cells(counts[kept], kept & 1, labels, predictions[:, old], predictions[:, new], -signs[old], signs[new])
    return RowCells(cells, rows, number[code])


def pair_change(
    comparison: Comparison, old: PairBias, new: PairBias, k: int, g: int, found: RowCells
) -> tuple[PairChange, PairWeights]:
    """The changes of one pair, and how much a row of each cell moves them."""
    inputs, settings, cells = comparison.inputs, comparison.settings, found.cells
    change = comparison.change(old.values, new.values)
    toward = new.toward if change.mean.defined else None
    over_rows: list[Interval | None] = []
    p = None
    if toward is not None:
        rng = np.random.default_rng([settings.seed, comparison.number, k, g])
        for kind, counts, weights in _urns(inputs, found, change_weights(cells, toward)):
            draws = change_draws(draw_sums(counts, weights, settings.n_boot, rng), cells)
            over_rows.append(percentile_interval(draws, settings.ci, kind))
            p = None if np.isnan(draws).all() else bootstrap_p(draws)
    change = replace(change, intervals=(*(i for i in over_rows if i), *change.intervals))
    psi = [_psi(comparison, k, g, group, found) for group in (0, 1)]
    ours = Estimate(new.mean, tuple(zip(comparison.condition.seeds, new.values, strict=True)))
    weight = None if toward is None else change_influence(cells, toward)
    sides = (comparison.dense, comparison.compressed)
    directed = shift_of(comparison, *(a_to_t_values(side, inputs, k, g) for side in sides))
    influence = influence_of(cells, train_sign(inputs.train[k][g]))
    pair = PairChange(
        k,
        g,
        comparison.dense_estimate(old.values),
        ours,
        change,
        p,
        (psi[0], psi[1]),
        with_rows(directed, comparison, influence, cells, found.rows, found.place),
        shift_of(comparison, *(t_to_a_values(side, inputs, k, g) for side in sides)),
        group_shifts(comparison, k, g),
    )
    return pair, PairWeights(weight, influence if directed.change.mean.defined else None)


def _urns(inputs: Inputs, found: RowCells, weights: np.ndarray) -> list[tuple[Kind, np.ndarray, np.ndarray]]:
    """What the bootstraps draw from: cells of rows and, where there are clusters, kinds of clusters."""
    urns: list[tuple[Kind, np.ndarray, np.ndarray]] = [("rows", found.cells.counts, weights)]
    if inputs.cluster is not None:
        _, number = np.unique(inputs.cluster[found.rows], return_inverse=True)
        sums = np.stack([np.bincount(number, weights=column[found.place]) for column in weights.T], axis=1)
        urns.append(("clusters", np.ones(len(sums), np.int64), sums))
    return urns


def _psi(comparison: Comparison, k: int, g: int, group: int, found: RowCells) -> Estimate:
    """psi of one group, the accuracy that it lost less what all lost, with delta intervals; larger is worse for it."""
    inputs, settings = comparison.inputs, comparison.settings
    if inputs.identities[g] in inputs.small:
        return Estimate(undefined("small_cell"))
    sides = []
    for side in (comparison.dense, comparison.compressed):
        rows = []
        for table in side.tables[:, k, g]:
            inside, everyone = table[group], table.sum(axis=0)
            if inside.sum() == 0:
                rows.append(undefined("empty_group"))
            else:
                rows.append(Value(float(np.trace(everyone) / everyone.sum() - np.trace(inside) / inside.sum())))
        sides.append(rows)
    estimate = comparison.change(sides[0], sides[1])
    if not estimate.mean.defined:
        return estimate
    influence, cells = _psi_influence(found.cells, group), found.cells
    value = estimate.mean.value
    intervals = [delta_interval(value, float(cells.counts @ influence**2), settings.ci, "rows")]
    if inputs.cluster is not None:
        sums = np.bincount(inputs.cluster[found.rows], weights=influence[found.place])
        intervals.append(delta_interval(value, float(sums @ sums), settings.ci, "clusters"))
    return replace(estimate, intervals=(*intervals, *estimate.intervals))


def _psi_influence(cells: Cells, group: int) -> np.ndarray:
    """What one more row of each cell adds to psi, to first order; shape (cells,)."""
    right = cells.y_true[:, None]
    lost = (cells.dense == right) @ cells.dense_shares - (cells.compressed == right) @ cells.compressed_shares
    inside = cells.group == group
    count, total = float(cells.counts[inside].sum()), float(cells.counts.sum())
    in_group = np.where(inside, lost - (cells.counts * inside) @ lost / count, 0.0) / count
    return in_group - (lost - cells.counts @ lost / total) / total

"""Change of one attribute and identity: bias amplification and psi, with intervals over rows and clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tamis.audit._bias_amplification import ba_bounds, directed_ba, favoured_group
from tamis.audit._bootstrap import draw_sums
from tamis.audit._comparison import Comparison
from tamis.audit._delta import Influence, clusters_apart
from tamis.audit._directional import (
    Shift,
    a_to_t_values,
    directed_influence,
    shift_of,
    t_to_a_values,
    train_sign,
    with_rows,
)
from tamis.audit._error_shifts import group_shifts
from tamis.audit._estimates import Estimate
from tamis.audit._inputs import Inputs
from tamis.audit._intervals import (
    MIN_CLUSTERS,
    Interval,
    Kind,
    bootstrap_p,
    no_cluster_interval,
    percentile_interval,
)
from tamis.audit._measure import Measured
from tamis.audit._paired_change import Cells, RowCells, change_draws, change_influence, change_weights
from tamis.audit._patterns import Patterns, patterns_of
from tamis.audit._psi import pair_psi
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
        p: of no change, by the cluster bootstrap where there are clusters; None where undefined or where they are few.
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
    """How much a row of each cell moves the changes of one pair; None where they are undefined."""

    ba: Influence | None
    a_to_t: Influence | None


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
    cluster = comparison.inputs.cluster
    clusters = None if cluster is None else clusters_apart(cluster[rows], group[rows])
    signs = np.array([share for _, share in comparison.weighted_runs])
    old, new = signs < 0, signs > 0
    if patterns is None or not len(rows):
        none = np.zeros(0, np.int64)
        empty = Cells(none, none, none, np.zeros((0, old.sum())), np.zeros((0, new.sum())), -signs[old], signs[new])
        return RowCells(empty, rows, none, clusters)
    code = 2 * (patterns.code if len(rows) == len(known) else patterns.code[inside]) + group[rows]
    counts = np.bincount(code, minlength=2 * len(patterns.values))
    kept = np.flatnonzero(counts)
    number = np.zeros(len(counts), np.intp)
    number[kept] = np.arange(len(kept))
    labels, predictions = patterns.values[kept >> 1, 0], patterns.values[kept >> 1, 1:]
    cells = Cells(counts[kept], kept & 1, labels, predictions[:, old], predictions[:, new], -signs[old], signs[new])
    return RowCells(cells, rows, number[code], clusters)


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
            number = found.clusters if kind == "clusters" else None
            if number is not None and number < MIN_CLUSTERS:
                over_rows.append(no_cluster_interval(settings.ci, "bootstrap"))
                p = None  # that of rows would call clusters of equal rows many witnesses
                continue
            draws = change_draws(draw_sums(counts, weights, settings.n_boot, rng), cells)
            over_rows.append(percentile_interval(draws, settings.ci, kind, number))
            p = None if np.isnan(draws).all() else bootstrap_p(draws, number)
    change = replace(change, intervals=(*(i for i in over_rows if i), *change.intervals))
    psi = [pair_psi(comparison, k, g, group, found) for group in (0, 1)]
    ours = Estimate(new.mean, tuple(zip(comparison.condition.seeds, new.values, strict=True)))
    weight = None if toward is None else Influence(change_influence(cells, toward), 0.0, found.clusters)
    sides = (comparison.dense, comparison.compressed)
    directed = shift_of(comparison, *(a_to_t_values(side, inputs, k, g) for side in sides))
    influence = directed_influence(comparison, found, train_sign(inputs.train[k][g]))
    pair = PairChange(
        k,
        g,
        comparison.dense_estimate(old.values),
        ours,
        change,
        p,
        (psi[0], psi[1]),
        with_rows(directed, comparison, influence, found),
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

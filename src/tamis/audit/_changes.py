"""What changed from the dense to the compressed models of one condition, attribute by attribute and on average."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._delta import Influence, distinct
from tamis.audit._estimates import Estimate
from tamis.audit._group_metrics import RecallChange
from tamis.audit._measure import parallel
from tamis.audit._models import Condition
from tamis.audit._other_means import directed_pairs, other_means
from tamis.audit._pair_changes import Biases, PairChange, attribute_patterns, pair_change, row_cells
from tamis.audit._reasons import Value, mean_of, undefined
from tamis.audit._row_changes import (
    CHANGES,
    WITH_ROWS,
    as_share,
    attribute_changes,
    exponential,
    flips,
    recall_test,
    row_influence,
    with_delta,
)


@dataclass(frozen=True)
class Changes:
    """All changes of one compressed condition.

    Attributes:
        condition: the compressed models.
        pairs: one for each (attribute, identity), attributes first.
        attributes: metric -> one estimate an attribute.
        means: metric -> its mean over attributes, over the common pairs for ``ba_change``, over all pairs that are
            compared for ``a_to_t_change`` and ``t_to_a_change``, over identities for ``zhao_ba_change``; ``cev`` and
            ``sde`` over attributes.
        recalls: Welch's test of the change of recall, one an attribute.
        flips: share of predictions that changed, seed by seed, one estimate an attribute.
    """

    condition: Condition
    pairs: tuple[PairChange, ...]
    attributes: Mapping[str, tuple[Estimate, ...]]
    means: Mapping[str, Estimate]
    flips: tuple[Estimate, ...]
    recalls: tuple[RecallChange, ...]


@dataclass(frozen=True)
class _Column:
    pairs: list[PairChange]
    metrics: dict[str, Estimate]
    flips: Estimate
    influence: dict[str, Influence]


def changes_of(
    comparison: Comparison, old: Biases, new: Biases, common: Sequence[tuple[int, int]], threads: int = 1
) -> Changes:
    """Compare one condition with the dense models.

    Args:
        comparison: both sides.
        old: bias amplification of the dense models.
        new: that of the compressed ones.
        common: pairs whose mean is the headline.
        threads: for the bootstraps; they change nothing in the result.
    """
    count = len(comparison.inputs.attributes)
    # once, before threads ask for them
    _ = comparison.exemplars, comparison.weighted_runs, comparison.top1_influence, comparison.same_models
    columns: list[_Column] = []
    sums = {name: _nothing(comparison) for name in (*WITH_ROWS, "ba_change", "a_to_t")}
    directed = directed_pairs(comparison.dense, comparison.inputs)
    work = partial(_column, comparison, old, new, frozenset(common), frozenset(directed))
    step = 2 * max(threads, 1)
    for start in range(0, count, step):  # a few at a time: each brings arrays of one number a row
        for column in parallel(work, range(start, min(start + step, count)), threads):
            for name, influence in column.influence.items():
                sums[name].add(influence, 1.0)
            column.influence.clear()
            columns.append(column)
    metrics = {name: tuple(column.metrics[name] for column in columns) for name in columns[0].metrics}
    pairs = tuple(pair for column in columns for pair in column.pairs)
    return Changes(
        comparison.condition,
        pairs,
        metrics,
        _means(comparison, old, new, sums, common) | other_means(comparison, sums["a_to_t"], directed),
        tuple(column.flips for column in columns),
        tuple(recall_test(comparison, k) for k in range(count)),
    )


def _column(
    comparison: Comparison,
    old: Biases,
    new: Biases,
    common: frozenset[tuple[int, int]],
    directed: frozenset[tuple[int, int]],
    k: int,
) -> _Column:
    inputs = comparison.inputs
    known = np.flatnonzero(inputs.y[k] < 2)
    patterns = attribute_patterns(comparison, k, known)
    influence = row_influence(comparison, k)
    metrics = attribute_changes(comparison, k, influence)
    parts = {name: _nothing(comparison) for name in ("ba_change", "a_to_t")}
    for name, found in influence.items():
        kept = comparison.kept[CHANGES[name][0]] if name in CHANGES else range(len(inputs.attributes))
        parts[name] = _nothing(comparison)
        if k in kept:
            parts[name].add(found, 1 / len(kept))
    pairs = []
    for g in range(len(inputs.identities)):
        cells = row_cells(comparison, g, known, patterns)
        pair, weights = pair_change(comparison, old[k, g], new[k, g], k, g, cells)
        pairs.append(pair)
        for name, weight, inside in (("ba_change", weights.ba, common), ("a_to_t", weights.a_to_t, directed)):
            if (k, g) in inside and weight is not None:
                moved = np.zeros(len(inputs.ids))
                moved[cells.rows] = weight.rows[cells.place]
                parts[name].add(replace(weight, rows=moved), 1 / len(inside))
    return _Column(pairs, metrics, flips(comparison, k), parts)


def _nothing(comparison: Comparison) -> Influence:
    """The influence to which others are added."""
    inputs = comparison.inputs
    return Influence(np.zeros(len(inputs.ids)), 0.0, distinct(inputs.cluster))


def _means(
    comparison: Comparison,
    old: Biases,
    new: Biases,
    sums: Mapping[str, Influence],
    common: Sequence[tuple[int, int]],
) -> dict[str, Estimate]:
    inputs, settings = comparison.inputs, comparison.settings
    found = {}
    if common:
        sides = [
            [mean_of([biases[pair].values[run] for pair in common]) for run in range(len(side.condition.runs))]
            for biases, side in ((old, comparison.dense), (new, comparison.compressed))
        ]
        found["ba_change"] = with_delta(comparison.change(sides[0], sides[1]), sums["ba_change"], inputs, settings)
    else:
        found["ba_change"] = Estimate(undefined("no_pairs"))
    exemplars = Estimate(Value(float(comparison.exemplars.mean())))
    found["cie_share"] = as_share(with_delta(exemplars, sums["cie_share"], inputs, settings))
    for name in ("accuracy_drop", "uncertainty_rise", "tcb_relative", "recall_change"):
        metric, sign = CHANGES[name]
        both = [
            [mean_of([Value(sign * row[k].value, row[k].reason) for k in comparison.kept[metric]]) for row in rows]
            for rows in (comparison.dense.metrics[metric], comparison.compressed.metrics[metric])
        ]
        found[name] = with_delta(comparison.change(both[0], both[1]), sums[name], inputs, settings)
    found["tcb_relative"] = exponential(found["tcb_relative"])
    return found

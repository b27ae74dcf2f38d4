"""How unevenly error rates moved: CEV and SDE of Blakeney et al. (2021) over attributes, and over both groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._directional import why_not
from tamis.audit._estimates import Estimate
from tamis.audit._group_metrics import cev_sde, group_report
from tamis.audit._intervals import seed_interval
from tamis.audit._reasons import Value, mean_of, undefined

# one (false positive rate, false negative rate) for each class
Rates = Sequence[tuple[Value, Value]]


def group_shifts(comparison: Comparison, k: int, g: int) -> tuple[Estimate, Estimate]:
    """CEV and SDE of one pair, whose classes are the two groups of the identity."""
    reason = why_not(comparison.inputs, k, g)
    if reason:
        return Estimate(undefined(reason)), Estimate(undefined(reason))
    sides = []
    for side in (comparison.dense, comparison.compressed):
        reports = [group_report(table).rates for table in side.tables[:, k, g]]
        sides.append([[(rates["fpr"][group], rates["fnr"][group]) for group in (0, 1)] for rates in reports])
    return _shifts(comparison, sides[0], sides[1])


def attribute_shifts(comparison: Comparison) -> tuple[Estimate, Estimate]:
    """CEV and SDE of a condition, whose classes are the attributes.

    Attributes with an undefined rate, or of which a dense model makes no error of one kind, are left out of every
    condition alike: this depends on labels and dense models only.
    """
    dense, compressed = (
        [list(zip(*rows, strict=True)) for rows in zip(side.metrics["fpr"], side.metrics["fnr"], strict=True)]
        for side in (comparison.dense, comparison.compressed)
    )
    kept = [
        k
        for k in range(len(comparison.inputs.attributes))
        if all(rate.defined and rate.value > 0 for run in dense for rate in run[k])
    ]
    if not kept:
        return Estimate(undefined("zero_base_rate")), Estimate(undefined("zero_base_rate"))
    return _shifts(
        comparison, [[run[k] for k in kept] for run in dense], [[run[k] for k in kept] for run in compressed]
    )


def _shifts(comparison: Comparison, dense: Sequence[Rates], compressed: Sequence[Rates]) -> tuple[Estimate, Estimate]:
    """Each compressed run beside its dense run, or beside the mean of all where seeds do not match."""
    for rate in (rate for run in (*dense, *compressed) for point in run for rate in point):
        if not rate.defined:
            return Estimate(rate), Estimate(rate)
    before, after = (
        np.array([[[r.value for r in point] for point in run] for run in side]) for side in (dense, compressed)
    )
    partners = comparison.condition.partners
    base = before[list(partners)] if partners else np.broadcast_to(before.mean(axis=0), after.shape)
    found = [cev_sde(old[:, 0], old[:, 1], new[:, 0], new[:, 1]) for old, new in zip(base, after, strict=True)]
    return _over_seeds(comparison, [cev for cev, _ in found]), _over_seeds(comparison, [sde for _, sde in found])


def _over_seeds(comparison: Comparison, values: Sequence[Value]) -> Estimate:
    """The mean with Student's interval over seeds, from five seeds on."""
    mean = mean_of(values)
    if not mean.defined:
        return Estimate(mean)
    seeds = tuple(zip(comparison.condition.seeds, values, strict=True))
    numbers = [value.value for value in values]
    interval = seed_interval([0.0] * len(numbers), numbers, ci=comparison.settings.ci).interval
    return Estimate(mean, seeds, (interval,) if interval else ())

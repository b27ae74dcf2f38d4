"""Means of the other definitions of bias that papers use, by condition; see docs/audit_metrics.md."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.audit._comparison import Comparison
from tamis.audit._delta import Influence
from tamis.audit._directional import a_to_t_values, t_to_a_values
from tamis.audit._error_shifts import attribute_shifts
from tamis.audit._estimates import Estimate, estimate
from tamis.audit._inputs import Inputs
from tamis.audit._measure import Measured
from tamis.audit._reasons import Value, mean_of, undefined
from tamis.audit._row_changes import with_delta
from tamis.audit._zhao import mean_zhao

DEFINITIONS = ("a_to_t", "t_to_a", "zhao_ba")


def directed_pairs(measured: Measured, inputs: Inputs) -> list[tuple[int, int]]:
    """Pairs of the mean of ``a_to_t``: whether they are defined depends on labels only, so it is one set for all."""
    return [
        (k, g)
        for k in range(len(inputs.attributes))
        for g in range(len(inputs.identities))
        if mean_of(a_to_t_values(measured, inputs, k, g)).defined
    ]


def other_values(measured: Measured, inputs: Inputs, metric: str) -> list[Value]:
    """``a_to_t``, ``t_to_a`` or ``zhao_ba`` of each run, mean over pairs or identities."""
    if metric == "zhao_ba":
        return mean_zhao(measured, inputs)
    if metric == "t_to_a" and not inputs.predicted:
        return [undefined("no_predicted_group")] * len(measured.tables)
    values = a_to_t_values if metric == "a_to_t" else t_to_a_values
    pairs = [
        row
        for k in range(len(inputs.attributes))
        for g in range(len(inputs.identities))
        if mean_of(row := values(measured, inputs, k, g)).defined
    ]
    return [mean_of(row) for row in zip(*pairs, strict=True)] or [undefined("no_pairs")] * len(measured.tables)


def other_estimate(measured: Measured, inputs: Inputs, metric: str) -> Estimate:
    """The same with the runs as seeds."""
    values = other_values(measured, inputs, metric)
    mean = mean_of(values)
    return estimate(measured.condition.seeds, values) if mean.defined else Estimate(mean)


def other_means(
    comparison: Comparison, influence: Influence, directed: Sequence[tuple[int, int]]
) -> dict[str, Estimate]:
    """``a_to_t_change``, ``t_to_a_change``, ``zhao_ba_change``, ``cev`` and ``sde``.

    Args:
        comparison: both sides.
        influence: how much each row moves the mean change of ``a_to_t``.
        directed: the pairs of that mean.
    """
    found = {}
    for metric in DEFINITIONS:
        sides = [other_values(side, comparison.inputs, metric) for side in (comparison.dense, comparison.compressed)]
        reason = next((value for side in sides for value in side if not value.defined), None)
        found[f"{metric}_change"] = Estimate(reason) if reason else comparison.change(sides[0], sides[1])
    if directed:
        found["a_to_t_change"] = with_delta(found["a_to_t_change"], influence, comparison.inputs, comparison.settings)
    found["cev"], found["sde"] = attribute_shifts(comparison)
    return found

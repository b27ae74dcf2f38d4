"""Bias amplification of Zhao et al. (2017), by identity: with predicted attributes and predicted groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from tamis.audit._comparison import Comparison
from tamis.audit._estimates import Estimate, estimate
from tamis.audit._inputs import Inputs
from tamis.audit._measure import Measured
from tamis.audit._reasons import Value, mean_of, undefined


def zhao_values(measured: Measured, inputs: Inputs, g: int) -> list[Value]:
    """Mean bias amplification over the pairs of attribute and group with b > 1/2, one value a run.

    As :func:`tamis.audit.zhao2017_mean_ba`, from the tables of each attribute, so that samples with an unknown label or
    identity are left out attribute by attribute.  Reasons: no_predicted_group where the identity is not among the
    attributes; no_pairs, never_predicted.
    """
    numbers = [identity for identity, _ in inputs.predicted]
    if g not in numbers:
        return [undefined("no_predicted_group")] * len(measured.tables)
    attributes = [k for k in range(len(inputs.attributes)) if not inputs.same(k, g)]
    return [_mean(joint[attributes, numbers.index(g)]) for joint in measured.joint]


def _mean(joint: np.ndarray) -> Value:
    """``joint`` holds ``n[attribute, y, g, prediction, predicted g]``."""
    found = []
    for table in joint:
        true, predicted = table[1].sum(axis=(1, 2)), table[:, :, 1].sum(axis=(0, 1))  # positives by group
        for group in (0, 1):
            if 2 * true[group] > true.sum():
                if not predicted.sum():
                    return undefined("never_predicted")
                found.append(float(predicted[group] / predicted.sum() - true[group] / true.sum()))
    return Value(float(np.mean(found))) if found else undefined("no_pairs")


def zhao_change(comparison: Comparison, g: int) -> Estimate:
    """Compressed less dense, with an interval over seeds."""
    sides = [zhao_values(side, comparison.inputs, g) for side in (comparison.dense, comparison.compressed)]
    undefined_one = next((value for side in sides for value in side if not value.defined), None)
    return Estimate(undefined_one) if undefined_one else comparison.change(sides[0], sides[1])


def mean_zhao(measured: Measured, inputs: Inputs) -> list[Value]:
    """Mean over the identities that the models predict, one value a run; no_predicted_group if they predict none."""
    columns = [zhao_values(measured, inputs, g) for g, _ in inputs.predicted]
    if not columns:
        return [undefined("no_predicted_group")] * len(measured.tables)
    return [mean_of(row) for row in zip(*columns, strict=True)]


def identity_row(measured: Measured, comparison: Comparison | None, inputs: Inputs, g: int) -> dict[str, Any]:
    """One entry of the key ``identity_values``."""
    values = zhao_values(measured, inputs, g)
    mean = mean_of(values)
    own = estimate(measured.condition.seeds, values) if mean.defined else Estimate(mean)
    return {
        "condition": measured.condition.id,
        "identity": inputs.identities[g],
        "zhao_ba": own.as_json(),
        "zhao_change": None if comparison is None else zhao_change(comparison, g).as_json(),
    }
